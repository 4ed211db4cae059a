"""The page of a branch: its tables and stores, to be explored in a browser without a server.

In: the branch's tables and stores, the model and the data set. Out: one HTML file.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.data import splits
    from tokengeometry.data.images import image_at
    from tokengeometry.explorer import backdrop, facts
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
    split = splits.open_described(inputs.dataset, params.dataset_class, params.arguments, params.white)
    behind = splits.batches(
        split,
        splits.subset(len(split), min(params.samples, backdrop.MOST), params.seed),
        model,
        batch_size=backdrop.BATCH,
        workers=snakemake.threads,
        **params.images,
    )
    behind = backdrop.pictures(behind, model)
    payload = of_branch(tables, stores, model, params.labels, params.fit, behind, params.thumbnails)
    images = (image_at(split, int(payload.arrays["sample"][image])) for image in payload.pool)
    title = " ".join(snakemake.wildcards)
    page = branch_page(payload, title, facts.of_study(params.settings, model), read(inputs.claims), images)
    with whole(snakemake.output.page) as partial:
        partial.write_text(page)
