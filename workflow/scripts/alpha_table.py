"""α of a branch: of every token and layer, with how sure it is.

In: the spectra of all layers; with folds their uncertainty and the concatenated spectra. Out: a table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.alpha_tables import alpha_table
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import undefined_rows, write

with log_to(snakemake.log[0]):
    inputs = snakemake.input
    model = json.loads(Path(inputs.model).read_text())
    stores = map(zarr_store.open_layers, (inputs.stores, inputs.uncertainty, inputs.concatenated))
    table = alpha_table(*stores, model, **snakemake.params.settings)
    print(*undefined_rows(table), sep="\n")
    write(snakemake.output.table, table)
