"""Figures of a statistic: over the layers, for clusters, the class token and all tokens together; on the token grid.

In: the tables of the statistic and of clusters, and the model's token grid.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.statistic_maps import statistic_maps
    from tokengeometry.figures.statistic_trajectories import statistic_trajectories
    from tokengeometry.figures.style import save
    from tokengeometry.geometry import statistics
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    output, branches = snakemake.output, snakemake.params.branches
    table, clusters = read(snakemake.input.table), read(snakemake.input.clusters)
    grid = json.loads(Path(snakemake.input.model).read_text())["grid"]
    statistic = statistics.load(snakemake.params.statistic)
    save(statistic_trajectories(table, clusters, statistic), branches, *output.trajectories)
    save(statistic_maps(table, grid, statistic), branches, *output.maps)
