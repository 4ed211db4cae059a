"""How sure the numbers of a layer are: from folds of its first images.

In: the activation stores of the first parts. Out: a store with every image's scores, held-out variances, and how alike
the tokens are.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry.concatenated import Samples
    from tokengeometry.geometry.uncertainty import layers, stores
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    params = snakemake.params
    parts = [zarr_store.open_store(path) for path in snakemake.input.stores]
    samples = Samples(parts, params.samples)
    model = json.loads(Path(snakemake.input.model).read_text())
    stores.save(
        snakemake.output.store,
        layers.of_layer(
            samples,
            params.folds,
            model["prefix_tokens"] if int(snakemake.wildcards.layer) else [],
            dtypes=[parts[0].attributes["compute_dtype"], str(samples.dtype)],
            threads=snakemake.threads,
        ),
        parts[0].labels | samples.labels(),
        folds=params.folds,
        samples=params.samples,
        **dict(snakemake.wildcards.items()),
    )
