"""Power-law exponents of a branch.

In: the spectra of all layers. Out: a table of α with its R².
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.storage import zarr_store
from tokengeometry.tables import alpha_table, write

with log_to(snakemake.log[0]):
    spectra = [zarr_store.open_store(path) for path in snakemake.input.stores]
    model = json.loads(Path(snakemake.input.model).read_text())
    table = alpha_table({int(store.attributes["layer"]): store for store in spectra}, model, **snakemake.params.fit)
    for layer, rows in table[table.alpha.isna()].groupby("layer"):
        print(f"layer {layer}: no alpha for {len(rows)} rows ({'; '.join(rows.reason.unique())})")
    write(snakemake.output.table, table)
