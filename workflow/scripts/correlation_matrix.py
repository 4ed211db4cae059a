"""Pearson's correlation between the tokens of one layer.

In: the moment stores of all parts. Out: a store with the T×T matrix.
"""

from tokengeometry import correlation, stores
from tokengeometry.logs import log_to

with log_to(snakemake.log[0]):
    correlation.write(
        snakemake.output.store,
        [stores.open_store(path) for path in snakemake.input.stores],
        **dict(snakemake.wildcards.items()),
    )
