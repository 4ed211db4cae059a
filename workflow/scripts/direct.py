"""Moments of every analysed layer of a part, from one forward pass; of the first part also the concatenated spectra.

In: the data set's files, the model and its weights. Out: moment stores, and stores of concatenated spectra; where the
chain is coarser than float32, of its measured noise.
"""

import json
from pathlib import Path

import numpy as np
import torch
from tokengeometry.activations import in_memory, measured_noise
from tokengeometry.data import eight_bit, splits
from tokengeometry.geometry import concatenated, moments
from tokengeometry.geometry.noise import EightBit, Noise
from tokengeometry.model.token_chain import load_chain, patchify
from tokengeometry.operations import cost, devices, resources
from tokengeometry.operations.logs import log_to
from tokengeometry.operations.worker_threads import share

with log_to(snakemake.log[0]):
    compute, params = snakemake.config["compute"], snakemake.params
    device = devices.prepare(compute["device"], snakemake.threads)
    model = json.loads(Path(snakemake.input.model).read_text())
    layers = params.layers

    def chain_in(dtype):
        return load_chain(model, snakemake.input.weights, layers=range(1, max(layers) + 1), device=device, dtype=dtype)

    split = splits.open_described(snakemake.input.dataset, params.dataset_class, params.arguments, params.white)
    start, stop = params.part
    samples = splits.subset(len(split), stop, params.seed)[start:]

    batch_size, workers = compute["batch_size"], devices.forward_workers(device, snakemake.threads)
    workers, length = share(batch_size, workers, device, *cost.layer_shape(model, max(layers)))

    kinds = np.empty(len(samples), np.int8)

    def patches(first, last):
        whole = batch_size - batch_size % length
        place = dict(batch_size=whole, workers=snakemake.threads)
        for images in splits.batches(split, samples[first:last], model, **place, **params.images):
            kinds[first : first + len(images)] = eight_bit.kinds(images, model["mean"], model["std"])
            first += len(images)
            yield from patchify(images, model["patch_size"]).split(length)

    size = in_memory.size_on(
        device,
        resources.memory_of(snakemake.resources.mem_mb),
        model,
        layers,
        batch_size,
        len(samples),
        params.joint,
        params.measured,
        threads=snakemake.threads,
    )
    print(f"{len(samples)} samples, {size[0]} at a time, for {size[1]} layers at a time")
    branch = {name: snakemake.wildcards[name] for name in ("model", "dataset", "split")}

    def dtypes(layer):
        return [params.precision if layer else "float32", "float32"]

    def noise(layer, differences):
        images = None if layer else EightBit.of([eight_bit.summary(kinds[: params.joint], model["std"])])
        return Noise(dtypes(layer), images, differences)

    def write(layer, its_moments, joint, differences):
        index, name = layers.index(layer), f"{layer:02d}"
        moments.write(
            snakemake.output.moments[index],
            its_moments,
            eight_bit=None if layer else eight_bit.summary(kinds, model["std"]),
            dtypes=dtypes(layer),
            part=snakemake.wildcards.get("part", "000"),
            layer=name,
            **branch,
        )
        if joint:
            concatenated.save(snakemake.output.concatenated[index], *joint, params.joint, layer=name, **branch)
        if differences is not None:
            stores = snakemake.output.noise
            measured_noise.write(stores[index - len(layers) + len(stores)], differences, layer=name, **branch)

    in_memory.analyse_writing(
        write,
        patches,
        chain_in(getattr(torch, params.precision)),
        layers,
        samples,
        size=size,
        joint=params.joint,
        noise=noise,
        reference=chain_in(torch.float32) if params.measured else None,
        measured=min(params.measured, size[0]),
        device=device,
        sums_device=device if device.type == "cuda" else "cpu",
        threads=snakemake.threads,
        workers=workers,
    )
