"""Figure: α over the layers of the class token, the mean of all tokens and all tokens together, train beside test.

In: the tables of α of the two splits.
"""

from tokengeometry.figures.alpha_summary_trajectories import alpha_summary_trajectories
from tokengeometry.figures.style import save
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    dataset = snakemake.wildcards.dataset
    tables = {f"{dataset} {split}": read(*snakemake.input[split]) for split in ("train", "test")}
    save(alpha_summary_trajectories(tables), snakemake.params.branches, *snakemake.output)
