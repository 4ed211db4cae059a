"""Mean correlations of a branch, layer by layer.

In: the correlation matrices of all layers; with folds their uncertainty. Out: a table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import correlation_table, write

with log_to(snakemake.log[0]):
    stores, uncertainty = map(zarr_store.open_layers, (snakemake.input.stores, snakemake.input.uncertainty))
    model = json.loads(Path(snakemake.input.model).read_text())
    matrices = {layer: store["correlation"][:] for layer, store in stores.items()}
    samples = {store.attributes["samples"] for store in stores.values()}
    table = correlation_table(matrices, model, uncertainty, *samples)
    for row in table[table.undefined_tokens > 0].itertuples():
        print(f"layer {row.layer}: {row.undefined_tokens} tokens are constant; their correlation is undefined")
    write(snakemake.output.table, table)
