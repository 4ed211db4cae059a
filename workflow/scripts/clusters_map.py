"""Figure: the token grid, coloured by cluster.

In: the table of clusters and the model's token grid.
"""

import json
from pathlib import Path

from tokengeometry.figures.clusters_map import clusters_map
from tokengeometry.figures.style import save
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    grid = json.loads(Path(snakemake.input.model).read_text())["grid"]
    save(clusters_map(read(snakemake.input.clusters), grid), snakemake.params.branches, *snakemake.output)
