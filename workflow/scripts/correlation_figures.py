"""Figures of the correlation between tokens: all matrices, their means over the layers, other measures beside them.

In: the correlation stores, the table of mean correlations and the model's tokens.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.correlation_matrices import correlation_matrices
    from tokengeometry.figures.mean_correlation import mean_correlation
    from tokengeometry.figures.style import save
    from tokengeometry.figures.token_similarity import token_similarity
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    output, branches, labels = snakemake.output, snakemake.params.branches, snakemake.params.every_label
    model = json.loads(Path(snakemake.input.model).read_text())
    layers = [zarr_store.open_store(path) for path in snakemake.input.stores]
    matrices = {int(store.attributes["layer"]): store["correlation"][:] for store in layers}
    save(correlation_matrices(matrices, model["prefix_tokens"], model["grid"]), branches, *output.matrices)
    table = read(snakemake.input.table)
    save(mean_correlation({labels[-1]: table}, labels), branches, *output.mean)
    save(token_similarity(table), branches, *output.similarity)
