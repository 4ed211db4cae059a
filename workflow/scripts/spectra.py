"""Eigenspectra of one layer: of every token, of all tokens pooled, of all tokens concatenated.

In: the moment stores of all parts, the concatenated spectrum, the measured noise where there is any. Out: a store with
all three.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry import spectra
    from tokengeometry.operations import devices, product_rates
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    device = devices.for_sums(snakemake.config["compute"]["device"], snakemake.threads, snakemake.resources.gpu)
    spectra.write_spectra(
        snakemake.output.store,
        [zarr_store.open_store(path) for path in snakemake.input.stores],
        zarr_store.open_store(snakemake.input.concatenated),
        *map(zarr_store.open_store, snakemake.input.noise),
        device=product_rates.for_eigenvalues(device),
        threads=snakemake.threads,
        **dict(snakemake.wildcards.items()),
    )
