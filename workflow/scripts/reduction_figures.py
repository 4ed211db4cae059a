"""Figures of reductions: scores over speed; which places are merged with which.

In: the table of reductions, what policies made of the images at one budget, and the model's token grid.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.reduction_places import reduction_places
    from tokengeometry.figures.reduction_tradeoff import reduction_tradeoff
    from tokengeometry.figures.style import save
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    save(reduction_tradeoff(read(inputs.table)), params.branches, *output.tradeoff)
    model = json.loads(Path(inputs.model).read_text())
    stores = dict(zip(params.policies, map(zarr_store.open_store, inputs.stores), strict=True))
    places = {name: store["places"][:] for name, store in stores.items()}
    sizes = {name: store["size"][:] for name, store in stores.items()}
    save(reduction_places(places, sizes, model["grid"], params.budget), params.branches, *output.places)
