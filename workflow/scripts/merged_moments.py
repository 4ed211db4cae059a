"""The moments of two neighbouring ranges of parts as those of one range.

In: two moment stores. Out: one.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry import moments
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    moments.write_merged(
        snakemake.output.store,
        [zarr_store.open_store(path) for path in snakemake.input.stores],
        **dict(snakemake.wildcards.items()),
    )
