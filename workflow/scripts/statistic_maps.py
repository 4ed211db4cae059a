"""Figure: a statistic of every spatial token on the token grid, layer by layer.

In: the table of the statistic and the model's token grid.
"""

import json
from pathlib import Path

from tokengeometry.figures.statistic_maps import statistic_maps
from tokengeometry.figures.style import save
from tokengeometry.geometry import statistics
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    grid = json.loads(Path(snakemake.input.model).read_text())["grid"]
    statistic = statistics.load(snakemake.params.statistic)
    save(statistic_maps(read(snakemake.input.table), grid, statistic), snakemake.params.branches, *snakemake.output)
