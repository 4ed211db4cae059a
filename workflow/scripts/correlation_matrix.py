"""Pearson's correlation between the tokens of one layer.

In: the moment stores of all parts. Out: a store with the T×T matrix.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry import correlation
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    correlation.write(
        snakemake.output.store,
        [zarr_store.open_store(path) for path in snakemake.input.stores],
        **dict(snakemake.wildcards.items()),
    )
