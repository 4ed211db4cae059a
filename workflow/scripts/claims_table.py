"""The paper's statements on a branch, each with its statistic and a verdict.

In: the tables of α, clusters, correlations and the participation ratio; with folds the spectra's uncertainty. Out: a
table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import umap  # noqa: F401 (`cluster_trajectories` takes it when it is called)
    from tokengeometry.geometry.claims import alphas
    from tokengeometry.geometry.claims.branch import of_branch
    from tokengeometry.geometry.claims.verdicts import in_rows
    from tokengeometry.model.tokens import token_table
    from tokengeometry.storage.zarr_store import open_layers
    from tokengeometry.tables import read, write

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    model = json.loads(Path(inputs.model).read_text())
    stores = open_layers(inputs.stores), open_layers(inputs.uncertainty)
    found = of_branch(
        alphas.read(read(inputs.alpha), token_table(model), *stores, **params.fit),
        read(inputs.clusters),
        read(inputs.correlation),
        read(inputs.ratio) if inputs.ratio else None,
        tuple(model["grid"]),
        params.clusters,
        params.margin,
    )
    print(*(f"{its.claim}: {its.verdict} ({its.why})" for its in found), sep="\n")
    write(snakemake.output.table, in_rows(found))
