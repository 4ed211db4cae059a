"""What a policy at a budget makes of the images.

In: the data set's files, the model and its weights, a schedule, the tokens of the whole model, and what of the geometry
the policy takes. Out: a store.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.data import splits
    from tokengeometry.operations import devices
    from tokengeometry.reduction import forward, signature
    from tokengeometry.reduction.runs import WHOLE, policy_of
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    inputs, params, compute = snakemake.input, snakemake.params, snakemake.config["compute"]
    wildcards = dict(snakemake.wildcards.items())
    model = json.loads(Path(inputs.model).read_text())
    split = splits.open_described(inputs.dataset, params.dataset_class, params.arguments, params.white)
    samples = splits.subset(len(split), params.samples, params.seed)
    device = devices.prepare_shared(compute["device"], snakemake.threads)
    schedule = [0] * model["depth"]
    if inputs.schedule:
        schedule = json.loads(Path("".join(inputs.schedule)).read_text())["r"]
    forward.write_reduced(
        snakemake.output.store,
        forward.load_network(model, inputs.weights, device=device),
        splits.batches(
            split, samples, model, batch_size=compute["batch_size"], workers=snakemake.threads, **params.images
        ),
        zarr_store.open_store(inputs.whole),
        schedule,
        {"sample": (("sample",), samples)},
        policy="tome" if wildcards["policy"] == WHOLE else policy_of(wildcards["policy"]).module,
        geometry=signature.read(model, alpha="".join(inputs.alpha), correlation=inputs.correlation),
        seed=int(wildcards.pop("seed")),
        **{"run": wildcards.pop("policy"), **wildcards},
    )
