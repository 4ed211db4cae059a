"""Moments of every analysed layer of a part, from one forward pass; of the first part also the concatenated spectra.

In: the data set's files, the model and its weights. Out: moment stores, and stores of concatenated spectra.
"""

import json
from pathlib import Path

import torch
from tokengeometry import datasets, devices, direct, moments, plan, requests, spectra
from tokengeometry.logs import log_to
from tokengeometry.models import load_chain, patchify
from tokengeometry.pieces import share

with log_to(snakemake.log[0]):
    compute, params = snakemake.config["compute"], snakemake.params
    device = devices.prepare(compute["device"], snakemake.threads)
    model = json.loads(Path(snakemake.input.model).read_text())
    layers = params.layers
    chain = load_chain(
        model,
        snakemake.input.weights,
        layers=range(1, max(layers) + 1),
        device=device,
        dtype=getattr(torch, params.precision),
    )
    root = Path(snakemake.input.dataset).parents[1]
    split = datasets.open_split(params.dataset_class, params.arguments, root)
    start, stop = params.part
    samples = datasets.subset(len(split), stop, params.seed)[start:]

    batch_size, workers = compute["batch_size"], devices.forward_workers(device, snakemake.threads)
    workers, length = share(batch_size, workers, device, *plan.layer_shape(model, max(layers)))

    def patches(first, last):
        whole = batch_size - batch_size % length
        for images in datasets.batches(split, samples[first:last], model, batch_size=whole, workers=snakemake.threads):
            yield from patchify(images, model["patch_size"]).split(length)

    size = direct.size_on(
        device,
        requests.memory_of(snakemake.resources.mem_mb),
        model,
        layers,
        batch_size,
        len(samples),
        params.joint,
        threads=snakemake.threads,
    )
    print(f"{len(samples)} samples, {size[0]} at a time, for {size[1]} layers at a time")
    branch = {name: snakemake.wildcards[name] for name in ("model", "dataset", "split")}

    def write(layer, its_moments, joint):
        index, name = layers.index(layer), f"{layer:02d}"
        shape = params.joint, *plan.layer_shape(model, layer)
        dtypes = [params.precision if layer else "float32", "float32"]
        moments.write(
            snakemake.output.moments[index],
            its_moments,
            dtypes=dtypes,
            part=snakemake.wildcards.get("part", "000"),
            layer=name,
            **branch,
        )
        if joint:
            spectra.save_concatenated(snakemake.output.concatenated[index], *joint, shape, dtypes, layer=name, **branch)

    direct.analyse_writing(
        write,
        patches,
        chain,
        layers,
        samples,
        size=size,
        joint=params.joint,
        device=device,
        sums_device=device if device.type == "cuda" else "cpu",
        threads=snakemake.threads,
        workers=workers,
    )
