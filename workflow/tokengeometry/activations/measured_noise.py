"""The noise of a chain coarser than float32, measured: some of its samples beside the same samples in float32.

From the same pixels, layer by layer. One rounding of every layer is far less than what a chain of them makes.
"""

import numpy as np
import torch

from tokengeometry.activations.on_disk import DIMS
from tokengeometry.operations.worker_threads import inferred, share
from tokengeometry.storage import zarr_store


def advance(tokens, chain, layer, *, batch_size, device, workers=1):
    """Layer ℓ of samples from their layer ℓ−1.

    Parameters
    ----------
    tokens : array, (sample, token, feature)
        Layer ℓ−1.
    chain : tokengeometry.model.token_chain.TokenChain
        In float32, with the weights of link ℓ, on `device`.
    layer : int
        ℓ, 1 … depth.
    batch_size : int
        Samples at work at a time, at most.
    device : torch.device
    workers : int
        See `tokengeometry.operations.worker_threads.inferred`.

    Returns
    -------
    array, (sample, token, feature), float32
    """
    workers, length = share(batch_size, workers, device, *chain.shape(layer))

    def link(piece):
        return chain.link(layer, torch.from_numpy(piece).to(device, torch.float32)).cpu().numpy()

    pieces = (tokens[start : start + length] for start in range(0, len(tokens), length))
    return np.concatenate(list(inferred(link, pieces, workers)))


def write(path, difference, reference=None, labels=None, /, **attributes):
    """Write measured noise.

    Parameters
    ----------
    path : path
        The store to make: `difference`, and `reference` where it is given, (sample, token, feature).
    difference : array, (sample, token, feature), float32
        From the reference.
    reference : array, optional
        The layer in float32, from which the next one follows.
    labels : dict of str to (tuple of str, array), optional
        Coordinates of the layer, and of at least these samples.
    **attributes
        Kept with the store.
    """
    if labels:
        dims, samples = labels["sample"]
        labels = labels | {"sample": (dims, samples[: len(difference)])}
    with zarr_store.create(path, labels, samples=len(difference), **attributes) as store:
        store.write("difference", difference, DIMS)
        if reference is not None:
            store.write("reference", reference, DIMS)
