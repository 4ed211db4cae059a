"""Figure: a statistic over the layers, for clusters of tokens, the class token and all tokens together.

In: the tables of the statistic and of clusters.
"""

from tokengeometry.figures.statistic_trajectories import statistic_trajectories
from tokengeometry.figures.style import save
from tokengeometry.geometry import statistics
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    table, clusters = read(snakemake.input.table), read(snakemake.input.clusters)
    statistic = statistics.load(snakemake.params.statistic)
    save(statistic_trajectories(table, clusters, statistic), snakemake.params.branches, *snakemake.output)
