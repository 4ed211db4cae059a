"""The spectrum of all tokens concatenated, of one layer.

In: the activation stores of the first parts. Out: a store with the eigenvalues and their floor.
"""

from tokengeometry import devices, spectra, stores
from tokengeometry.logs import log_to

with log_to(snakemake.log[0]):
    device = devices.for_sums(snakemake.config["compute"]["device"], snakemake.threads, snakemake.resources.gpu)
    spectra.write_concatenated(
        snakemake.output.store,
        [stores.open_store(path) for path in snakemake.input.stores],
        snakemake.params.samples,
        device=device,
        threads=snakemake.threads,
        **dict(snakemake.wildcards.items()),
    )
