"""Figure: the UMAP plane of α trajectories, coloured by cluster.

In: the table of clusters.
"""

from tokengeometry.figures.clusters_embedding import clusters_embedding
from tokengeometry.figures.style import save
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    save(clusters_embedding(read(snakemake.input.clusters)), snakemake.params.branches, *snakemake.output)
