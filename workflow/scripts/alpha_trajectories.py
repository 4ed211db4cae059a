"""Figure: α over the layers, for clusters of tokens, the class token and all tokens together.

In: the tables of α and of clusters.
"""

from tokengeometry.figures.alpha_trajectories import alpha_trajectories
from tokengeometry.figures.style import save
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    save(alpha_trajectories(read(snakemake.input.alpha), read(snakemake.input.clusters)), *snakemake.output)
