"""The page of all branches: a picture and the first numbers of each, and where it is.

In: the branches' tables. Out: one HTML file.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.explorer.index import index_page
    from tokengeometry.storage.whole_files import whole
    from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    inputs = snakemake.input
    models = [json.loads(Path(path).read_text()) for path in inputs.models]
    tables = [map(read, paths) for paths in (inputs.alphas, inputs.correlations, inputs.claims)]
    with whole(snakemake.output.page) as partial:
        partial.write_text(index_page(snakemake.params.branches, models, *tables))
