"""The page of a branch's reductions, to be explored in a browser without a server.

In: the table of reductions, all schedules, and what the policies made of the images. Out: one HTML file.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.explorer.reduction import reduction_page
    from tokengeometry.storage import zarr_store
    from tokengeometry.storage.whole_files import whole
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    runs = [(policy, int(budget) / 100) for policy, budget in params.budgets]
    stores = dict(zip(runs, map(zarr_store.open_store, inputs.stores), strict=True))
    page = reduction_page(
        " ".join(snakemake.wildcards),
        read(inputs.table),
        {run: json.loads(Path(path).read_text())["r"] for run, path in zip(runs, inputs.schedules, strict=True)},
        {run: store["places"][:] for run, store in stores.items()},
        {run: store["size"][:] for run, store in stores.items()},
        json.loads(Path(inputs.model).read_text())["grid"],
        params.images,
    )
    with whole(snakemake.output.page) as partial:
        partial.write_text(page)
