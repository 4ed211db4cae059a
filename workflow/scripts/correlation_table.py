"""Mean correlations of a branch, layer by layer.

In: the correlation matrices of all layers. Out: a table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import correlation_table, write

with log_to(snakemake.log[0]):
    matrices = [zarr_store.open_store(path) for path in snakemake.input.stores]
    model = json.loads(Path(snakemake.input.model).read_text())
    table = correlation_table({int(store.attributes["layer"]): store["correlation"][:] for store in matrices}, model)
    for row in table[table.undefined_tokens > 0].itertuples():
        print(f"layer {row.layer}: {row.undefined_tokens} tokens are constant; their correlation is undefined")
    write(snakemake.output.table, table)
