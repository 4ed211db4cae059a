"""Figures of α, train beside test: split against split, and over the layers.

In: the tables of α and of its means of the two splits.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.alpha_summary_trajectories import alpha_summary_trajectories
    from tokengeometry.figures.style import save
    from tokengeometry.figures.train_test import train_test
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    output, branches, dataset = snakemake.output, snakemake.params.branches, snakemake.wildcards.dataset
    train, test = (read(*snakemake.input[split]) for split in ("train", "test"))
    means = [read(*snakemake.input[f"{split}_means"]) for split in ("train", "test")]
    save(train_test(train, test, *means), branches, *output.scatter)
    tables = {f"{dataset} train": train, f"{dataset} test": test}
    save(alpha_summary_trajectories(tables, dict(zip(tables, means, strict=True))), branches, *output.trajectories)
