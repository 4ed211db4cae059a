"""Clusters of the spatial tokens of a branch by their α trajectories.

In: the table of α. Out: a table of clusters and of places in the UMAP plane.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import umap  # noqa: F401 (`cluster_trajectories` takes it when it is called)
    from tokengeometry.geometry.clusters import cluster_trajectories
    from tokengeometry.tables import cluster_table, read, trajectories, write

with log_to(snakemake.log[0]):
    alpha = read(snakemake.input.alpha)
    table = trajectories(alpha)
    clusters = cluster_trajectories(table.to_numpy(), **snakemake.params.clusters)
    if left_out := table.columns[~clusters.layers].tolist():
        print(f"layers left out of the trajectories, for tokens without alpha there: {left_out}")
    if unlabelled := int((clusters.label == 0).sum()):
        print(f"{unlabelled} of {len(table)} spatial tokens have no cluster")
    write(snakemake.output.table, cluster_table(alpha, clusters))
