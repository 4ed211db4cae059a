"""How sure the spectra of a layer are: from folds of its first images.

In: the activation stores of the first parts. Out: a store with every image's scores and held-out variances.
"""

from tokengeometry.geometry.concatenated import Samples
from tokengeometry.geometry.uncertainty import spectra, stores
from tokengeometry.operations.logs import log_to
from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    params = snakemake.params
    parts = [zarr_store.open_store(path) for path in snakemake.input.stores]
    samples = Samples(parts, params.samples)
    stores.save(
        snakemake.output.store,
        spectra.of_layer(samples, params.folds, threads=snakemake.threads),
        parts[0].labels | samples.labels(),
        folds=params.folds,
        samples=params.samples,
        **dict(snakemake.wildcards.items()),
    )
