"""Eigenspectra of one layer: of every token, of all tokens pooled, of all tokens concatenated.

In: the moment stores of all parts, the concatenated spectrum, the measured noise where there is any. Out: a store with
all three.
"""

from tokengeometry import devices, spectra, stores
from tokengeometry.logs import log_to

with log_to(snakemake.log[0]):
    device = devices.for_sums(snakemake.config["compute"]["device"], snakemake.threads, snakemake.resources.gpu)
    spectra.write_spectra(
        snakemake.output.store,
        [stores.open_store(path) for path in snakemake.input.stores],
        stores.open_store(snakemake.input.concatenated),
        *map(stores.open_store, snakemake.input.noise),
        device=device,
        threads=snakemake.threads,
        **dict(snakemake.wildcards.items()),
    )
