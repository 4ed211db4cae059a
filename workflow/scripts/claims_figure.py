"""A figure of the paper's statements: each with its number beside what it is compared with, and the verdict.

In: the table of claims.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.claims import claims
    from tokengeometry.figures.style import save
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    save(claims(read(snakemake.input.table)), snakemake.params.branches, *snakemake.output)
