"""The page of a branch: its tables and stores, to be explored in a browser without a server.

In: the branch's tables and stores, the model, and the data set where thumbnails are asked for. Out: one HTML file.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.explorer import facts
    from tokengeometry.explorer.page import branch_page
    from tokengeometry.explorer.payload import Stores, Tables, of_branch
    from tokengeometry.storage.whole_files import whole
    from tokengeometry.storage.zarr_store import open_layers
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    model = json.loads(Path(inputs.model).read_text())
    tables = Tables(
        *map(read, (inputs.alpha, inputs.clusters)),
        {Path(path).stem: read(path) for path in inputs.statistics},
    )
    stores = Stores(*map(open_layers, (inputs.spectra, inputs.correlations, inputs.uncertainty)))
    payload = of_branch(tables, stores, model, params.labels, params.fit, params.thumbnails)
    images = []
    if len(payload.pool):
        # torch, which a page without images does not need.
        from tokengeometry.data import splits
        from tokengeometry.data.images import image_at

        split = splits.open_described(inputs.dataset, params.dataset_class, params.arguments, params.white)
        images = (image_at(split, int(payload.arrays["sample"][image])) for image in payload.pool)
    title = " ".join(snakemake.wildcards)
    page = branch_page(payload, title, facts.of_study(params.settings, model), read(inputs.claims), images)
    with whole(snakemake.output.page) as partial:
        partial.write_text(page)
