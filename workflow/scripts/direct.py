"""Moments of every analysed layer of a part, from one forward pass; of the first part also the concatenated spectra.

In: the data set's files, the model and its weights. Out: moment stores, and stores of concatenated spectra; where the
chain is coarser than float32, of its measured noise.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.activations.direct import Stores, write_part
    from tokengeometry.data import splits
    from tokengeometry.operations import devices, resources

with log_to(snakemake.log[0]):
    compute, params, output = snakemake.config["compute"], snakemake.params, snakemake.output
    split = splits.open_described(snakemake.input.dataset, params.dataset_class, params.arguments, params.white)
    start, stop = params.part
    wildcards = dict(snakemake.wildcards.items())
    part = wildcards.pop("part", "000")
    write_part(
        Stores(output.moments, output.concatenated, output.noise, output.uncertainty, wildcards, part),
        split,
        splits.subset(len(split), stop, params.seed)[start:],
        json.loads(Path(snakemake.input.model).read_text()),
        snakemake.input.weights,
        layers=params.layers,
        images=params.images,
        precision=params.precision,
        joint=params.joint,
        folds=params.folds,
        fold_samples=params.fold_samples,
        measured=params.measured,
        device=devices.prepare(compute["device"], snakemake.threads),
        batch_size=compute["batch_size"],
        memory=resources.memory_of(snakemake.resources.mem_mb),
        threads=snakemake.threads,
    )
