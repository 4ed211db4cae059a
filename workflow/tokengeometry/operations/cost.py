"""What a study costs before it runs: bytes on disk, bytes of memory and floating-point operations.

Plain arithmetic on shapes. Disk is exact for the arrays of a store (chunks are padded to their full size), without
coordinates and metadata, which are some kilobytes; memory is an estimate of a job's peak, fitted to what jobs of
several sizes have used; a multiplication and an addition are two operations.
"""

import math

import numpy as np

from tokengeometry.storage.chunk_sizes import (
    BATCH_BYTES,
    BLOCK_BYTES,
    CHUNK_BYTES,
    PIECE_LENGTH,
    PROJECTED_BYTES,
    PROJECTED_RANKS,
    SLABS_BYTES,
    TOKENS_BYTES,
    batch_rows,
    chunk_length,
)

CHECKSUM_BYTES = 4
# Python with torch, timm and zarr.
PROCESS_BYTES = 3 * 2**28
# Python with numpy, pandas, zarr and matplotlib, but without torch.
LIGHT_PROCESS_BYTES = 5 * 2**25
# The same with umap.
CLUSTERS_BYTES = 2**29
# Of an image that a thread decodes: five megapixels and their copy.
IMAGE_BYTES = 2**25


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


# Disk


def array_bytes(shape, dtype):
    """Bytes of an array's chunks in a store."""
    if not shape:
        return np.dtype(dtype).itemsize + CHECKSUM_BYTES
    length = chunk_length(shape, dtype)
    chunk = length * math.prod(shape[1:]) * np.dtype(dtype).itemsize + CHECKSUM_BYTES
    return -(-shape[0] // length) * chunk


def activation_disk(samples, tokens, features, dtype="float32"):
    """Bytes of the activation store of one part of a layer."""
    return array_bytes((samples, tokens, features), dtype)


def moment_disk(samples, tokens, features):
    """Bytes of the moment store of one part of a layer."""
    shapes = (tokens, features), (tokens, features, features), (tokens, tokens), (features, features)
    return sum(array_bytes(shape, "float64") for shape in shapes) + array_bytes((samples, tokens), "float32")


def concatenated_disk(samples, tokens, features):
    """Bytes of the store of the spectrum of all tokens concatenated, of one layer."""
    return 2 * array_bytes((min(samples, tokens * features),), "float64")


def spectra_disk(concatenated_samples, tokens, features):
    """Bytes of the spectra store of one layer."""
    of_covariances = array_bytes((tokens, features), "float64") + 2 * array_bytes((features,), "float64")
    return 2 * of_covariances + concatenated_disk(concatenated_samples, tokens, features)


def noise_disk(samples, tokens, features, arrays):
    """Bytes of the store of one layer's measured noise, of so many arrays."""
    return arrays * array_bytes((samples, tokens, features), "float32")


def correlation_disk(tokens):
    """Bytes of the correlation store of one layer."""
    return array_bytes((tokens, tokens), "float64")


# Memory


def pixels_memory(batch_size, image_values, workers):
    """Peak bytes of the job that makes layer 0 of a part.

    Parameters
    ----------
    batch_size : int
    image_values : int
        Channels × height × width.
    workers : int
        Threads that preprocess images.
    """
    # What is cut into patches and into chunks is copied on the way, and chunks are written.
    return PROCESS_BYTES + 6 * CHUNK_BYTES + _loading_bytes(batch_size, image_values, workers, 6)


def _loading_bytes(batch_size, image_values, workers, taken):
    """Of images that threads preprocess: a batch each, two that wait, and so many copies of the one that is taken."""
    return (workers + 2 + taken) * 4 * batch_size * image_values + workers * IMAGE_BYTES


def samples_at_work(batch_size, threads, tokens, features):
    """Samples that a job's forward pass has at work on the CPU at most.

    See `tokengeometry.operations.worker_threads.share`, and `forward_workers` of `tokengeometry.operations.devices` for
    twice the threads.
    """
    return min(batch_size, 2 * threads * batch_rows(tokens, features, batch_bytes=TOKENS_BYTES))


def _block_bytes(samples, tokens, features):
    """Of samples at work in a block of a transformer: about sixteen copies of their tokens.

    The two sides of the MLP's activation function, four times as wide, are half of them.
    """
    return 4 * 16 * samples * tokens * features


def layer_memory(batch_size, tokens, features):
    """Peak bytes of the job that makes a layer ≥ 1 of a part: a block of a transformer on the samples at work.

    The block's own weights are counted too, and chunks read and written.
    """
    return PROCESS_BYTES + 6 * CHUNK_BYTES + _block_bytes(batch_size, tokens, features) + 4 * 2 * 12 * features**2


def _written_bytes(scatter):
    """Of the chunks of a layer's scatter that are on their way into the store."""
    return int(min(1.25 * scatter, 16 * CHUNK_BYTES))


def moments_memory(samples, tokens, features):
    """Peak bytes of the job that sums the moments of one part of a layer: with a batch and what is made of it, or
    with the chunks of the scatter that are on their way into the store.
    """
    batch = min(4 * samples * tokens * features, max(BATCH_BYTES, 2 * CHUNK_BYTES))
    scatter = 8 * tokens * features**2
    return PROCESS_BYTES + scatter + 8 * tokens**2 + max(3 * batch, _written_bytes(scatter))


def noise_memory(measured, batch_size, tokens, features):
    """Peak bytes of the job that measures the noise of a layer on so many samples, of which so many are at work."""
    return layer_memory(batch_size, tokens, features) + 4 * 4 * measured * tokens * features


def _differences_bytes(measured, tokens, features):
    """Of measured noise: as read, and centred."""
    return 2 * 4 * measured * tokens * features


def concatenated_memory(samples, tokens, features, dtype="float32", threads=1, measured=0):
    """Peak bytes of the job that makes the spectrum of all tokens concatenated, of one layer."""
    sample = tokens * features * np.dtype(dtype).itemsize
    # Two blocks of samples, and a chunk on its way.
    blocks = min(2 * BLOCK_BYTES, samples * sample) + CHUNK_BYTES
    differences = _differences_bytes(measured, tokens, features)
    return PROCESS_BYTES + differences + _gram_bytes(samples, tokens * features, sample, blocks, threads)


def _gram_bytes(samples, width, sample, blocks, threads):
    """Of a sample Gram matrix, of the pieces that are multiplied for it beside those blocks, of its eigenvalues."""
    gram = 8 * samples**2
    rows = min(samples, max(1, BLOCK_BYTES // sample))
    # Of each piece at work the two factors and the product; besides, the product that is added and one that waits.
    at_work = min(threads, -(-width // PIECE_LENGTH))
    pieces = at_work * 4 * rows * (2 * min(PIECE_LENGTH, width) + rows) + 2 * 4 * rows**2
    # Eigenvectors onto which noise is projected, beside one of the two blocks.
    vectors = min(PROJECTED_BYTES, 8 * width * min(samples, PROJECTED_RANKS))
    # The eigensolver, with whose copies and workspace between three and five times the matrix were measured.
    return max(gram + blocks + pieces, gram + min(blocks, BLOCK_BYTES) + vectors, 5 * gram)


def direct_memory(model, layers, batch_size, samples, joint, measured=0, threads=1, on_cpu=True):
    """Peak bytes of the job that goes through a part without storing activations.

    That of the whole part in one slab, where it is at most `SLABS_BYTES` more than the least.

    Parameters
    ----------
    model : dict
        As of `layer_shape`.
    layers : list of int
        Those analysed.
    batch_size, samples : int
    joint : int
        Samples of the concatenated spectrum that this part makes, or 0.
    measured : int
        Samples that go through the model in float32 too.
    threads : int
        And threads that load images.
    on_cpu : bool
        Whether the forward pass is; see `samples_at_work`.
    """
    fixed, sample, sums = _direct_bytes(model, layers, batch_size, joint, measured, threads, on_cpu)
    least = fixed + sums + _smallest_slab(model, layers, samples, joint) * sample
    return min(fixed + sums + samples * sample, least + SLABS_BYTES)


def direct_size(memory, model, layers, batch_size, samples, joint, measured=0, threads=1, on_cpu=True):
    """Samples in a slab and layers in a group, for a part that is gone through in so many bytes of memory.

    The parameters are those of `direct_memory`, which is the memory where the whole part is to be one slab.

    Returns
    -------
    slab, group : int
        The whole part and one layer after the other, where it fits; else a small slab, and as many layers as have
        their sums in memory, one at least.
    """
    fixed, sample, sums = _direct_bytes(model, layers, batch_size, joint, measured, threads, on_cpu)
    if fixed + sums + samples * sample <= memory:
        return samples, len(layers)
    slab = _smallest_slab(model, layers, samples, joint)
    return slab, max(1, min(len(layers), int((memory - fixed - slab * sample) // sums)))


def _direct_bytes(model, layers, batch_size, joint, measured, threads, on_cpu):
    """Of everything but samples and sums; of a sample; of a layer's sums."""
    pixels, (tokens, features) = math.prod(layer_shape(model, 0)), layer_shape(model, 1)
    shapes = [layer_shape(model, layer) for layer in layers]
    scatter = max(8 * t * d**2 for t, d in shapes)
    sums = scatter + max(8 * (t**2 + 2 * t * d) for t, d in shapes)
    weights = 4 * max(layers) * 12 * features**2
    # The reference's weights, two of its layers, and its differences.
    reference = bool(measured) * weights + 3 * _differences_bytes(measured, *max(shapes, key=math.prod))
    at_work = samples_at_work(batch_size, threads, tokens, features) if on_cpu else batch_size
    # What is there beside those, one after the other: images that are loaded; samples in the model and the
    # chunks of the layer before that are being written; a batch and what is made of it; the sample Gram matrix.
    # Besides, gaps of the heap that one of them leaves and the next can't use.
    work = 4 * CHUNK_BYTES + max(
        _loading_bytes(batch_size, pixels, threads, 2),
        _block_bytes(at_work, tokens, features) + _written_bytes(scatter),
        3 * BATCH_BYTES,
        max(_gram_bytes(joint, t * d, 4 * t * d, 0, threads) for t, d in shapes),
    )
    return PROCESS_BYTES + weights + reference + work, 4 * max(pixels, tokens * features), sums


def _smallest_slab(model, layers, samples, joint):
    return min(samples, max(joint, *(batch_rows(*layer_shape(model, layer)) for layer in layers)))


def spectra_memory(tokens, features, threads, measured=0):
    """Peak bytes of the job that makes the spectra of one layer."""
    matrix = 8 * features**2
    block = chunk_length((tokens, features, features), "float64") * matrix
    arrays = 2 * 2 * 8 * tokens * features + _differences_bytes(measured, tokens, features)
    return PROCESS_BYTES + 5 * block + 2 * threads * matrix + 3 * matrix + arrays


def correlation_memory(tokens, features):
    """Peak bytes of the job that makes the correlation matrix of one layer."""
    return LIGHT_PROCESS_BYTES + 8 * (6 * tokens**2 + 4 * tokens * features)


def figure_memory(layers, tokens, features):
    """Peak bytes of the job that makes a table or a figure over all layers."""
    return LIGHT_PROCESS_BYTES + 3 * 8 * layers * tokens * max(tokens, features)


# Floating-point operations


def block_flops(samples, tokens, features, matrix_entries=None):
    """Operations of a transformer block's forward pass.

    Parameters
    ----------
    samples, tokens, features : int
    matrix_entries : int, optional
        Entries of all the block's weight matrices; by default those of attention and of an MLP four times
        as wide, 12 D².
    """
    entries = 12 * features**2 if matrix_entries is None else matrix_entries
    return samples * (2 * tokens * entries + 4 * tokens**2 * features)


def embedding_flops(samples, tokens, pixel_features, features):
    """Operations of the patch embedding, which belongs to the link of layer 1."""
    return 2 * samples * tokens * pixel_features * features


def chain_flops(model, samples, last):
    """Operations of the forward pass up to a layer.

    Parameters
    ----------
    model : dict
        As of `layer_shape`; and matrix_entries of every block, by default as of `block_flops`.
    samples, last : int
    """
    if last == 0:
        return 0
    tokens, features = layer_shape(model, 1)
    entries = model.get("matrix_entries") or [None] * last
    blocks = sum(block_flops(samples, tokens, features, entries[layer]) for layer in range(last))
    return blocks + embedding_flops(samples, *layer_shape(model, 0), features)


def sums_flops(samples, joint, shapes):
    """Operations of the moments and the concatenated spectra of layers of these shapes."""
    return sum(moments_flops(samples, *shape) + concatenated_flops(joint, *shape) for shape in shapes)


def moments_flops(samples, tokens, features):
    """Operations of the scatter of every token and the Gram matrix of the tokens."""
    return 2 * samples * (tokens * features**2 + tokens**2 * features)


def concatenated_flops(samples, tokens, features):
    """Operations of the lower triangle of the samples' Gram matrix, and of its eigenvalues."""
    return samples**2 * tokens * features + 4 * samples**3 // 3


def spectra_flops(tokens, features):
    """Operations of the eigenvalues and eigenvectors of every token's covariance and of the pooled one."""
    return (tokens + 1) * 9 * features**3


def correlation_flops(tokens, features):
    """Operations of the correlation matrix from the moments."""
    return 2 * tokens**2 * features
