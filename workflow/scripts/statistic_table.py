"""A statistic of a branch: of every token and layer.

In: the spectra of all layers. Out: a table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import statistic_table, undefined_rows, write

with log_to(snakemake.log[0]):
    model = json.loads(Path(snakemake.input.model).read_text())
    layers = zarr_store.open_layers(snakemake.input.stores)
    table = statistic_table(snakemake.params.statistic, layers, model, **snakemake.params.settings)
    print(*undefined_rows(table), sep="\n")
    write(snakemake.output.table, table)
