"""Layer ℓ of a part from layer ℓ−1, through the model's block ℓ.

In: layer ℓ−1's store and the weights. Out: layer ℓ's store.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import torch
    from tokengeometry.activations.on_disk import write_layer
    from tokengeometry.model import tokens
    from tokengeometry.model.token_chain import load_chain
    from tokengeometry.operations import devices

with log_to(snakemake.log[0]):
    compute = snakemake.config["compute"]
    device = devices.prepare(compute["device"], snakemake.threads)
    model = json.loads(Path(snakemake.input.model).read_text())
    layer = int(snakemake.wildcards.layer)
    write_layer(
        snakemake.output.store,
        snakemake.input.previous,
        load_chain(
            model,
            snakemake.input.weights,
            layers=[layer],
            device=device,
            dtype=getattr(torch, snakemake.params.precision),
        ),
        layer,
        tokens.labels(model, layer),
        batch_size=compute["batch_size"],
        device=device,
        workers=devices.forward_workers(device, snakemake.threads),
        dtype=snakemake.params.dtype,
        architecture=model["architecture"],
        weights_sha256=model["sha256"],
        **dict(snakemake.wildcards.items()),
    )
