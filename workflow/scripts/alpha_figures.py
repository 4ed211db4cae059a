"""Figures of α: over the layers; on the token grid, with its error; by the range of the fit; beside dimensions.

In: the tables of α, of its means, of the ranges, of dimensions and of clusters, and the model's token grid.
"""

import json
from pathlib import Path
from types import SimpleNamespace

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.dimension_trajectories import dimension_trajectories
    from tokengeometry.figures.fit_ranges import fit_ranges
    from tokengeometry.figures.statistic_maps import statistic_maps
    from tokengeometry.figures.statistic_trajectories import statistic_trajectories
    from tokengeometry.figures.style import save
    from tokengeometry.geometry.statistics import power_law
    from tokengeometry.tables import PLACE_COLUMNS, read

ERROR = SimpleNamespace(NAME="standard error", LABEL="Standard error of α")

with log_to(snakemake.log[0]):
    inputs, output, branches = snakemake.input, snakemake.output, snakemake.params.branches
    alpha, means, ranges, clusters = map(read, (inputs.table, inputs.means, inputs.ranges, inputs.clusters))
    grid = json.loads(Path(inputs.model).read_text())["grid"]
    save(statistic_trajectories(alpha, clusters, power_law, means), branches, *output.trajectories)
    save(statistic_maps(alpha, grid, power_law), branches, *output.maps)
    errors = alpha[[*PLACE_COLUMNS, "se", "doubt"]].rename(columns={"doubt": "reason"})
    save(statistic_maps(errors, grid, ERROR), branches, *output.errors)
    save(fit_ranges(ranges, snakemake.params.ranks), branches, *output.ranges)
    save(dimension_trajectories(read(inputs.dimensions)), branches, *output.dimensions)
