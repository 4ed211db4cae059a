"""Figure: the mean correlation between tokens over the layers, of all branches.

In: the tables of mean correlations, one a branch.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.mean_correlation import mean_correlation
    from tokengeometry.figures.style import save
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    labels = snakemake.params.labels
    tables = {label: read(path) for label, path in zip(labels, snakemake.input.tables, strict=True)}
    save(mean_correlation(tables, labels), snakemake.params.branches, *snakemake.output)
