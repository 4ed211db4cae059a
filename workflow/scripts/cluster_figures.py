"""Figures of clusters: the UMAP plane of α trajectories, and the token grid, coloured by cluster.

In: the table of clusters and the model's token grid.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.clusters_embedding import clusters_embedding
    from tokengeometry.figures.clusters_map import clusters_map
    from tokengeometry.figures.style import save
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    output, branches = snakemake.output, snakemake.params.branches
    clusters = read(snakemake.input.clusters)
    grid = json.loads(Path(snakemake.input.model).read_text())["grid"]
    save(clusters_embedding(clusters), branches, *output.embedding)
    save(clusters_map(clusters, grid), branches, *output.map)
