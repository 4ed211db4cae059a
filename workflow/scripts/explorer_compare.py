"""The page of two branches beside each other.

In: the tables of all branches. Out: one HTML file.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.explorer.compare import branch_quantities, compare_page
    from tokengeometry.storage.whole_files import whole
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    count = len(params.branches)
    # The statistics' tables stand one statistic after another, each of all branches.
    others = [inputs.statistics[index::count] for index in range(count)]
    found = [
        branch_quantities(
            json.loads(Path(model).read_text()),
            read(alpha),
            read(clusters),
            {Path(path).stem: read(path) for path in paths},
            params.labels,
        )
        for model, alpha, clusters, paths in zip(inputs.models, inputs.alphas, inputs.clusters, others, strict=True)
    ]
    with whole(snakemake.output.page) as partial:
        partial.write_text(compare_page(params.branches, found))
