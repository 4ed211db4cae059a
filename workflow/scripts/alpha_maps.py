"""Figure: α of every spatial token on the token grid, layer by layer.

In: the table of α and the model's token grid.
"""

import json
from pathlib import Path

from tokengeometry.figures.alpha_maps import alpha_maps
from tokengeometry.figures.style import save
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    grid = json.loads(Path(snakemake.input.model).read_text())["grid"]
    save(alpha_maps(read(snakemake.input.alpha), grid), *snakemake.output)
