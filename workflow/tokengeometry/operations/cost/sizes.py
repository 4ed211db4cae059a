"""What costs are made of: a job's cost, the shapes of layers, and the bytes of stores and of processes."""

import math
from dataclasses import dataclass

import numpy as np

from tokengeometry.storage.chunk_sizes import chunk_length

CHECKSUM_BYTES = 4
# Python with torch, timm and zarr.
PROCESS_BYTES = 3 * 2**28
# Python with numpy, pandas, zarr and matplotlib, but without torch.
LIGHT_PROCESS_BYTES = 5 * 2**25
# Python with numpy and zarr.
NUMPY_PROCESS_BYTES = 3 * 2**25
# That of figures, with umap, which compiles when it runs first.
CLUSTERS_BYTES = 31 * 2**24


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    Attributes
    ----------
    memory : int
        Peak bytes; 0 where the default of every rule is enough.
    stores : tuple of int
        Bytes of what it makes, in the order of the rule's outputs, as far as it is worth counting.
    flops : int
    """

    memory: int = 0
    stores: tuple = ()
    flops: int = 0

    @property
    def disk(self):
        """Bytes of all stores."""
        return sum(self.stores)


def layer_shape(model, layer):
    """How many tokens and features a layer has.

    Parameters
    ----------
    model : dict
        The content of `model.json`; of it only grid, prefix_tokens, in_chans, patch_size and embed_dim.
    layer : int
        0 is the pixel patches.

    Returns
    -------
    tokens, features : int
    """
    spatial = math.prod(model["grid"])
    if layer == 0:
        return spatial, model["in_chans"] * math.prod(model["patch_size"])
    return spatial + len(model["prefix_tokens"]), model["embed_dim"]


def array_bytes(shape, dtype, length=None):
    """Bytes of an array's chunks in a store, of so many entries of the first axis each."""
    if not shape:
        return np.dtype(dtype).itemsize + CHECKSUM_BYTES
    length = length or chunk_length(shape, dtype)
    chunk = length * math.prod(shape[1:]) * np.dtype(dtype).itemsize + CHECKSUM_BYTES
    return -(-shape[0] // length) * chunk


def activation_disk(samples, tokens, features, dtype="float32"):
    """Bytes of the activation store of one part of a layer."""
    return array_bytes((samples, tokens, features), dtype)


def noise_disk(samples, tokens, features, arrays):
    """Bytes of the store of one layer's measured noise, of so many arrays."""
    return arrays * array_bytes((samples, tokens, features), "float32")
