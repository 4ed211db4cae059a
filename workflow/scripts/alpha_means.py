"""α of a branch: means over tokens; over a grid of ranges of ranks; beside what it does not see.

In: the spectra of all layers; with folds their uncertainty; the tables of α and of clusters. Out: three tables.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.alpha_tables import dimensions_table, means_tables
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import read, write

with log_to(snakemake.log[0]):
    inputs, settings = snakemake.input, snakemake.params.settings
    model = json.loads(Path(inputs.model).read_text())
    stores = [zarr_store.open_layers(paths) for paths in (inputs.stores, inputs.uncertainty)]
    means, ranges = means_tables(*stores, read(inputs.clusters), model, **settings)
    write(snakemake.output.means, means)
    write(snakemake.output.ranges, ranges)
    write(snakemake.output.dimensions, dimensions_table(*stores, read(inputs.alpha), means, model))
