"""The paper's statement that the train and the test split have the same α, with its statistic and a verdict.

In: of either split the table of α and, with folds, the spectra's uncertainty. Out: a table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry.claims import alphas
    from tokengeometry.geometry.claims.splits import of_splits
    from tokengeometry.geometry.claims.verdicts import in_rows
    from tokengeometry.model.tokens import token_table
    from tokengeometry.storage.zarr_store import open_layers
    from tokengeometry.tables import read, write

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    tokens = token_table(json.loads(Path(inputs.model).read_text()))
    both = (
        alphas.read(read(*table), tokens, open_layers(spectra), open_layers(uncertainty), **params.fit)
        for table, spectra, uncertainty in (
            (inputs.train, inputs.train_spectra, inputs.train_uncertainty),
            (inputs.test, inputs.test_spectra, inputs.test_uncertainty),
        )
    )
    found = of_splits(*both, params.margin)
    print(*(f"{its.claim}: {its.verdict} ({its.why})" for its in found), sep="\n")
    write(snakemake.output.table, in_rows(found))
