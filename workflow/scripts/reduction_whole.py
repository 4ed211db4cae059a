"""The final tokens of the model that keeps them all.

In: the data set's files, the model and its weights. Out: a store.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.data import splits
    from tokengeometry.model import tokens
    from tokengeometry.operations import devices
    from tokengeometry.reduction import forward

with log_to(snakemake.log[0]):
    inputs, params, compute = snakemake.input, snakemake.params, snakemake.config["compute"]
    model = json.loads(Path(inputs.model).read_text())
    split = splits.open_described(inputs.dataset, params.dataset_class, params.arguments, params.white)
    samples = splits.subset(len(split), params.samples, params.seed)
    device = devices.prepare_shared(compute["device"], snakemake.threads)
    forward.write_whole(
        snakemake.output.store,
        forward.load_network(model, inputs.weights, device=device),
        splits.batches(
            split, samples, model, batch_size=compute["batch_size"], workers=snakemake.threads, **params.images
        ),
        samples,
        tokens.labels(model, model["depth"]),
        weights_sha256=model["sha256"],
        **dict(snakemake.wildcards.items()),
    )
