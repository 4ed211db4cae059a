"""Figure: the correlation matrices of all layers.

In: the correlation stores and the model's tokens.
"""

import json
from pathlib import Path

from tokengeometry.figures.correlation_matrices import correlation_matrices
from tokengeometry.figures.style import save
from tokengeometry.operations.logs import log_to
from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    model = json.loads(Path(snakemake.input.model).read_text())
    layers = [zarr_store.open_store(path) for path in snakemake.input.stores]
    matrices = {int(store.attributes["layer"]): store["correlation"][:] for store in layers}
    figure = correlation_matrices(matrices, model["prefix_tokens"], model["grid"])
    save(figure, snakemake.params.branches, *snakemake.output)
