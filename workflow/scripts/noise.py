"""What the precision of the chain adds to layer ℓ: some samples of the first part beside the same in float32.

In: layer ℓ−1 of those samples in float32, layer ℓ's store, the weights. Out: a store of the differences, and of layer ℓ
in float32.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import torch
    from tokengeometry.activations import measured_noise
    from tokengeometry.model.token_chain import load_chain
    from tokengeometry.operations import devices
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    compute = snakemake.config["compute"]
    device = devices.prepare(compute["device"], snakemake.threads)
    model = json.loads(Path(snakemake.input.model).read_text())
    layer, samples = int(snakemake.wildcards.layer), snakemake.params.samples
    previous = zarr_store.open_store(snakemake.input.previous)
    reference = measured_noise.advance(
        previous["reference" if "reference" in previous else "activations"][:samples],
        load_chain(model, snakemake.input.weights, layers=[layer], device=device, dtype=torch.float32),
        layer,
        batch_size=compute["batch_size"],
        device=device,
        workers=devices.forward_workers(device, snakemake.threads),
    )
    store = zarr_store.open_store(snakemake.input.store)
    difference = store["activations"][:samples] - reference
    measured_noise.write(
        snakemake.output.store, difference, reference, store.labels, **dict(snakemake.wildcards.items())
    )
