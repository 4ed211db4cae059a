"""Layer 0 of a part: its images as the model sees them, in patches.

In: the data set's files and the model's preprocessing. Out: an activation store.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.activations.on_disk import pixels_of, write_pixels
    from tokengeometry.data import splits

with log_to(snakemake.log[0]):
    model = json.loads(Path(snakemake.input.model).read_text())
    params = snakemake.params
    split = splits.open_described(snakemake.input.dataset, params.dataset_class, params.arguments, params.white)
    start, stop = snakemake.params.part
    samples = splits.subset(len(split), stop, snakemake.params.seed)[start:]
    pixels = splits.batches(
        split,
        samples,
        model,
        batch_size=snakemake.config["compute"]["batch_size"],
        workers=snakemake.threads,
        made=pixels_of(model),
        **snakemake.params.images,
    )
    write_pixels(
        snakemake.output.store,
        pixels,
        model,
        samples,
        dtype=snakemake.params.dtype,
        seed=snakemake.params.seed,
        layer="00",
        **snakemake.params.images,
        **dict(snakemake.wildcards.items()),
    )
