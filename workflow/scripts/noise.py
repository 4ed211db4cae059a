"""What the precision of the chain adds to layer ℓ: some samples of the first part beside the same in float32.

In: layer ℓ−1 of those samples in float32, layer ℓ's store, the weights. Out: a store of the differences, and of layer ℓ
in float32.
"""

import json
from pathlib import Path

import torch
from tokengeometry import devices, measured, stores
from tokengeometry.logs import log_to
from tokengeometry.models import load_chain

with log_to(snakemake.log[0]):
    compute = snakemake.config["compute"]
    device = devices.prepare(compute["device"], snakemake.threads)
    model = json.loads(Path(snakemake.input.model).read_text())
    layer, samples = int(snakemake.wildcards.layer), snakemake.params.samples
    previous = stores.open_store(snakemake.input.previous)
    reference = measured.advance(
        previous["reference" if "reference" in previous else "activations"][:samples],
        load_chain(model, snakemake.input.weights, layers=[layer], device=device, dtype=torch.float32),
        layer,
        batch_size=compute["batch_size"],
        device=device,
        workers=devices.forward_workers(device, snakemake.threads),
    )
    difference = stores.open_store(snakemake.input.store)["activations"][:samples] - reference
    measured.write(snakemake.output.store, difference, reference, **dict(snakemake.wildcards.items()))
