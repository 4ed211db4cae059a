"""A statistic of a branch: of every token and layer.

In: the spectra of all layers, or their moments. Out: a table.
"""

import json
from collections import defaultdict
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.storage import zarr_store
from tokengeometry.tables import statistic_table, undefined_rows, write

with log_to(snakemake.log[0]):
    model = json.loads(Path(snakemake.input.model).read_text())
    layers = defaultdict(list)
    for path in snakemake.input.stores:
        store = zarr_store.open_store(path)
        layers[int(store.attributes["layer"])].append(store)
    table = statistic_table(snakemake.params.statistic, layers, model, **snakemake.params.settings)
    print(*undefined_rows(table), sep="\n")
    write(snakemake.output.table, table)
