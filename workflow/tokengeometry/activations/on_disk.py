"""Layers of activations, written batch by batch into stores (sample, token, feature)."""

import numpy as np
import torch
from tqdm import tqdm

from tokengeometry.data import eight_bit
from tokengeometry.errors import StudyError
from tokengeometry.model import tokens
from tokengeometry.model.token_chain import patchify
from tokengeometry.operations.worker_threads import inferred, share
from tokengeometry.storage import zarr_store

DIMS = ("sample", "token", "feature")


def pixels_of(model):
    """What is made of a batch of preprocessed images.

    Parameters
    ----------
    model : dict
        The content of `model.json`.

    Returns
    -------
    callable
        Of a batch (sample, channel, height, width), float32: its pixel patches (sample, token, feature), and what each
        image is, as of `tokengeometry.data.eight_bit.kinds`.
    """

    def made(images):
        return patchify(images, model["patch_size"]), eight_bit.kinds(images, model["mean"], model["std"])

    return made


def write_pixels(path, pixels, model, samples, /, *, dtype="float32", **attributes):
    """Layer 0: the pixel patches the model sees; its attribute `eight_bit` says how they are rounded.

    Parameters
    ----------
    path : path
        The store to make.
    pixels : iterable of (torch.Tensor, array)
        What `pixels_of` makes of preprocessed images, in batches, in the order of `samples`.
    model : dict
        The content of `model.json`.
    samples : array of int, (sample,)
        The images' indices in the split.
    dtype : {"float32", "float16"}
        Of the stored activations.
    **attributes
        Kept with the store.

    Raises
    ------
    StudyError
        If a pixel is not finite.
    """
    rows, columns = model["grid"]
    height, width = model["patch_size"]
    shape = (len(samples), rows * columns, model["in_chans"] * height * width)
    kinds = []

    def patches():
        for batch, its_kinds in pixels:
            kinds.append(its_kinds)
            yield batch

    def found():
        return {"eight_bit": eight_bit.summary(np.concatenate(kinds), model["std"])}

    attributes = dict(attributes, compute_dtype="float32")
    _write(path, patches(), shape, np.asarray(samples), dtype, attributes, 0, tokens.labels(model, 0), found)


def write_layer(
    path, previous, chain, layer, labels=None, /, *, batch_size, device, workers=1, dtype="float32", **attributes
):
    """Layer ℓ from the store of layer ℓ−1, through block ℓ.

    Parameters
    ----------
    path : path
        The store to make.
    previous : path
        Layer ℓ−1's store, of the same samples.
    chain : tokengeometry.model.token_chain.TokenChain
        With the weights of link ℓ, on `device`, in the precision to compute in.
    layer : int
        ℓ, 1 … depth.
    labels : dict of str to (tuple of str, array), optional
        The layer's coordinates, as of `tokengeometry.model.tokens.labels`.
    batch_size : int
        Samples at work at a time, at most.
    device : torch.device
    workers : int
        See `tokengeometry.operations.worker_threads.inferred`.
    dtype : {"float32", "float16"}
        Of the stored activations.
    **attributes
        Kept with the store.

    Raises
    ------
    StudyError
        If an activation is not finite, or `previous` is damaged.
    """
    source = zarr_store.open_store(previous)
    activations = source["activations"]
    precision = next(chain.model.parameters()).dtype
    attributes = dict(attributes, compute_dtype=str(precision).removeprefix("torch."))

    def link(batch):
        return chain.link(layer, torch.from_numpy(batch).to(device=device, dtype=precision)).float()

    shape = (len(activations), *chain.shape(layer))
    workers, length = share(batch_size, workers, device, *shape[1:])
    links = inferred(link, _pieces(activations, length), workers)

    _write(path, links, shape, source["sample"][:], dtype, attributes, layer, labels or {})


def _pieces(array, length):
    """An array's samples, so many at a time; each of its chunks is read once."""
    rows, step = len(array), array.chunks[0]
    chunk, first = array[:0], 0
    for start in range(0, rows, length):
        piece = np.empty((min(length, rows - start), *array.shape[1:]), array.dtype)
        filled = 0
        while filled < len(piece):
            if start + filled == first + len(chunk):
                first += len(chunk)
                chunk = array[first : first + step]
            taken = chunk[start + filled - first :][: len(piece) - filled]
            piece[filled : filled + len(taken)] = taken
            filled += len(taken)
        yield piece


def _write(path, batches, shape, samples, dtype, attributes, layer, labels, found=dict):
    """Write batches; what `found` returns after the last one are attributes too."""
    with zarr_store.create(path, labels | {"sample": (("sample",), samples)}, **attributes) as store:
        array = store.create("activations", shape, dtype, DIMS)
        start = 0
        # Whole chunks are written, whatever the batch: a chunk written twice is read back in between.
        length, waiting = array.chunks[0], []
        progress = tqdm(total=shape[0], desc=f"layer {layer}", unit="sample", mininterval=5)
        for batch in batches:
            with np.errstate(over="ignore"):
                values = batch.cpu().numpy().astype(dtype, copy=False)
            check_finite(values, layer, samples[start + sum(map(len, waiting)) :])
            waiting.append(values)
            progress.update(len(values))
            while sum(map(len, waiting)) >= length:
                rows = np.concatenate(waiting)
                array[start : start + length] = rows[:length]
                start, waiting = start + length, [rows[length:]]
        rows = np.concatenate(waiting)
        array[start : start + len(rows)] = rows
        progress.close()
        if start + len(rows) != shape[0]:
            raise ValueError(f"{start + len(rows)} samples came for a store of {shape[0]}")
        store.describe(**found())


def check_finite(values, layer, samples):
    """Whether an array of one layer is finite.

    Parameters
    ----------
    values : array, (sample, token, feature)
    layer : int
    samples : array of int, (at least sample,)
        Indices in the split.

    Raises
    ------
    StudyError
    """
    # A sum of finite numbers may overflow, but no other is finite: only then are they looked at one by one.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float32)):
            return
    finite = np.isfinite(values)
    if not finite.all():
        sample, token, _ = np.argwhere(~finite)[0]
        raise StudyError(
            f"layer {layer}, sample {samples[sample]}, token {token}: an activation is not finite in "
            f"{values.dtype}; check the weights, the images, forward.precision and activations.dtype"
        )
