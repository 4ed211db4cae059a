"""All policies at all budgets, schedules from the geometry against others, and the schedules themselves.

In: scores image by image, what was made of the images, speeds, schedules and the model. Out: two tables and JSON.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.reduction import table
    from tokengeometry.storage import zarr_store
    from tokengeometry.storage.whole_files import whole
    from tokengeometry.tables import write

with log_to(snakemake.log[0]):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    runs = [tuple(run) for run in params.runs]
    images = dict(zip(runs, map(table.read_images, inputs.scores), strict=True))
    stores = map(zarr_store.open_store, inputs.stores)
    facts = {run: {"flops": store.attributes["flops"]} for run, store in zip(runs, stores, strict=True)}
    budgets = [tuple(its) for its in params.budgets]
    speeds = {
        (policy, budget): its
        for policy, path in zip(dict(budgets), inputs.speeds, strict=True)
        for budget, its in json.loads(Path(path).read_text()).items()
    }
    found = {its: json.loads(Path(path).read_text()) for its, path in zip(budgets, inputs.schedules, strict=True)}
    write(output.table, table.reduction_table(images, facts, speeds))
    write(output.comparison, table.comparison_table(images))
    model = json.loads(Path(inputs.model).read_text())
    with whole(output.schedule) as partial:
        partial.write_text(json.dumps(table.schedule_file(found, model), indent=1) + "\n")
