"""The spectrum of all tokens concatenated, of one layer.

In: the activation stores of the first parts, the measured noise where there is any. Out: a store with the eigenvalues
and the floor of each.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry import concatenated
    from tokengeometry.operations import devices, product_rates
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    device = devices.for_sums(snakemake.config["compute"]["device"], snakemake.threads, snakemake.resources.gpu)
    concatenated.write(
        snakemake.output.store,
        [zarr_store.open_store(path) for path in snakemake.input.stores],
        snakemake.params.samples,
        *map(zarr_store.open_store, snakemake.input.noise),
        folds=snakemake.params.folds,
        device=device,
        threads=snakemake.threads,
        products=product_rates.chosen(device).gram,
        **dict(snakemake.wildcards.items()),
    )
