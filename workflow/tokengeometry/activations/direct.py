"""Direct mode: moments of every analysed layer of a part, and its concatenated spectra, from one forward pass."""

from dataclasses import dataclass

import numpy as np
import torch

from tokengeometry.activations import in_memory, measured_noise
from tokengeometry.activations.on_disk import pixels_of
from tokengeometry.data import eight_bit, splits
from tokengeometry.geometry import concatenated, moments
from tokengeometry.geometry.noise import EightBit, Noise
from tokengeometry.geometry.uncertainty import layers as layers_of_images
from tokengeometry.geometry.uncertainty import stores as uncertainty
from tokengeometry.model import tokens
from tokengeometry.model.token_chain import load_chain
from tokengeometry.operations import devices, product_rates
from tokengeometry.operations.cost import sizes
from tokengeometry.operations.worker_threads import share


@dataclass(frozen=True)
class Stores:
    """Where the stores of a part go.

    Attributes
    ----------
    moments : list of path
        Of every analysed layer, ascending.
    concatenated : list of path
        The same; none where the part makes no concatenated spectra.
    noise : list of path
        Of every analysed layer ≥ 1; none where no noise is measured.
    uncertainty : list of path
        Of every analysed layer; none where the part is not dealt into folds.
    attributes : dict
        Of every store: model, dataset, split.
    part : str
        Three digits.
    """

    moments: list
    concatenated: list
    noise: list
    uncertainty: list
    attributes: dict
    part: str


def write_part(
    stores,
    split,
    samples,
    model,
    weights,
    *,
    layers,
    images,
    precision,
    joint,
    folds,
    fold_samples,
    measured,
    device,
    batch_size,
    memory,
    threads,
):
    """Go through a part's images once and write its stores.

    Parameters
    ----------
    stores : Stores
    split : torch.utils.data.Dataset
        As `tokengeometry.data.splits.open_described` opens it.
    samples : array of int, (sample,)
        The part's images' indices in the split.
    model : dict
        The content of `model.json`.
    weights : path
    layers : list of int
        Those analysed, ascending.
    images : dict
        crop and resize; see `tokengeometry.data.splits.batches`.
    precision : str
        Of the forward pass.
    joint : int
        The first so many samples make the concatenated spectra; 0 is none.
    folds, fold_samples : int
        The first so many samples are dealt into so many folds; 0 is none.
    measured : int
        The first so many samples go through the model in float32 too, to measure the noise of `precision`; 0 is none.
    device : torch.device
    batch_size : int
    memory : float
        Bytes that the job may take; on a GPU its own memory counts instead.
    threads : int

    Raises
    ------
    StudyError
        If an activation is not finite, or an image can't be read.
    """
    every = range(1, max(layers) + 1)
    shape = sizes.layer_shape(model, max(layers))
    workers, length = share(batch_size, devices.forward_workers(device, threads), device, *shape)
    kinds = np.empty(len(samples), np.int8)

    def patches(first, last):
        whole = batch_size - batch_size % length
        how = dict(batch_size=whole, workers=threads, made=pixels_of(model), **images)
        for batch, its_kinds in splits.batches(split, samples[first:last], model, **how):
            kinds[first : first + len(batch)] = its_kinds
            first += len(batch)
            yield from batch.split(length)

    def dtypes(layer):
        return [precision if layer else "float32", "float32"]

    def noise(layer, differences):
        rounded = None if layer else EightBit.of([eight_bit.summary(kinds[:joint], model["std"])])
        return Noise(dtypes(layer), rounded, differences)

    def doubts(layer, its):
        prefix_tokens = model["prefix_tokens"] if layer else []
        return layers_of_images.of_layer(its, folds, prefix_tokens, dtypes=dtypes(layer), threads=threads)

    def write(layer, its_moments, spectrum, differences, found):
        index, attributes = layers.index(layer), stores.attributes | {"layer": f"{layer:02d}"}
        rounded = None if layer else eight_bit.summary(kinds, model["std"])
        place = dict(eight_bit=rounded, dtypes=dtypes(layer), part=stores.part)
        made = dict(scatter_products=products.scatter, gram_products=products.gram)
        labels = tokens.labels(model, layer) | {"sample": (("sample",), samples)}
        # Beside a GPU's forward pass the host has nothing else to do.
        writers = threads if device.type == "cuda" else 1
        moments.write(stores.moments[index], its_moments, labels, threads=writers, **place, **made, **attributes)
        if spectrum:
            concatenated.save(
                stores.concatenated[index],
                *spectrum,
                joint,
                labels | {"sample": (("sample",), samples[:joint])},
                folds=folds,
                gram_products=products.gram,
                **attributes,
            )
        if found:
            uncertainty.save(
                stores.uncertainty[index],
                found,
                labels | {"sample": (("sample",), samples[:fold_samples])},
                folds=folds,
                samples=fold_samples,
                **attributes,
            )
        if differences is not None:
            measured_noise.write(stores.noise[index - len(layers)], differences, None, labels, **attributes)

    sums_device = device if device.type == "cuda" else "cpu"
    # Before anything else is in a GPU's memory.
    products = product_rates.chosen(sums_device)
    options = dict(layers=every, device=device)
    size = in_memory.size_on(
        device, memory, model, layers, batch_size, len(samples), max(joint, fold_samples), measured, threads=threads
    )
    print(f"{len(samples)} samples, {size[0]} at a time, for {size[1]} layers at a time")
    in_memory.analyse_writing(
        write,
        patches,
        load_chain(model, weights, dtype=getattr(torch, precision), **options),
        layers,
        samples,
        size=size,
        joint=joint,
        folds=folds,
        doubts=doubts,
        doubted=fold_samples,
        noise=noise,
        reference=load_chain(model, weights, dtype=torch.float32, **options) if measured else None,
        measured=min(measured, size[0]),
        device=device,
        sums_device=sums_device,
        products=products,
        threads=threads,
        workers=workers,
    )
