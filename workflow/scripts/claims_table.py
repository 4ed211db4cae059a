"""The paper's statements on a branch, each with its statistic and a verdict.

In: the tables of α, clusters and correlations; the spectra, and with folds their uncertainty; of a model with a
control, the control's statements. Out: a table.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import umap  # noqa: F401 (`cluster_trajectories` takes it when it is called)
    from tokengeometry.geometry.claims import alphas, correlations
    from tokengeometry.geometry.claims.branch import of_branch
    from tokengeometry.geometry.claims.verdicts import in_rows
    from tokengeometry.geometry.uncertainty import dimensions
    from tokengeometry.model.tokens import token_table
    from tokengeometry.storage.zarr_store import open_layers
    from tokengeometry.tables import read, write

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    model = json.loads(Path(inputs.model).read_text())
    stores = open_layers(inputs.stores), open_layers(inputs.uncertainty)
    its = alphas.read(read(inputs.alpha), token_table(model), *stores, **params.fit)
    found = of_branch(
        its,
        read(inputs.clusters),
        read(inputs.correlation),
        correlations.read_jackknife(stores[1], its.samples),
        dimensions.of_group(*stores, model, "spatial"),
        tuple(model["grid"]),
        params.clusters,
        params.margin,
    )
    print(*(f"{one.claim}: {one.verdict} ({one.why})" for one in found), sep="\n")
    write(snakemake.output.table, in_rows(found, *map(read, inputs.control)))
