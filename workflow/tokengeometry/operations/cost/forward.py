"""What the forward pass costs, layer by layer."""

import math

from tokengeometry.data import eight_bit
from tokengeometry.operations.cost.sizes import (
    PROCESS_BYTES,
    Cost,
    activation_disk,
    layer_shape,
    noise_disk,
)
from tokengeometry.storage.chunk_sizes import CHUNK_BYTES, TOKENS_BYTES, batch_rows

# Of an image that a thread decodes: five megapixels and their copy.
IMAGE_BYTES = 2**25


def samples_at_work(batch_size, threads, tokens, features, on_cpu=True):
    """Samples that a job's forward pass has at work at most: a batch, or on the CPU what its threads share.

    See `tokengeometry.operations.worker_threads.share`, and `forward_workers` of `tokengeometry.operations.devices` for
    twice the threads.
    """
    if not on_cpu:
        return batch_size
    return min(batch_size, 2 * threads * batch_rows(tokens, features, batch_bytes=TOKENS_BYTES))


def link_flops(model, samples, layer):
    """Operations of the forward pass from the layer before to this one; the patch embedding belongs to layer 1."""
    tokens, features = layer_shape(model, layer)
    flops = samples * (2 * tokens * model["matrix_entries"][layer - 1] + 4 * tokens**2 * features)
    return flops + (2 * samples * math.prod(layer_shape(model, 0)) * features if layer == 1 else 0)


def loading_bytes(batch_size, image_values, workers, taken, *, cut=False):
    """Of images that threads preprocess: a batch each, two that wait, and so many copies of the one that is taken.

    Threads may also cut them into patches, and tell 8-bit images a few at a time; see
    `tokengeometry.activations.on_disk.pixels_of`.
    """
    image = 4 * image_values
    at_work = IMAGE_BYTES + (batch_size + 4 * min(batch_size, eight_bit.IMAGES)) * image * cut
    return (workers + 2 + taken) * batch_size * image + workers * at_work


def block_bytes(samples, tokens, features):
    """Of samples at work in a block of a transformer: about sixteen copies of their tokens.

    The two sides of the MLP's activation function, four times as wide, are half of them.
    """
    return 4 * 16 * samples * tokens * features


def link_memory(samples, tokens, features):
    """Of a job that has so many samples at work in a block: with its weights, and chunks read and written."""
    return PROCESS_BYTES + 6 * CHUNK_BYTES + block_bytes(samples, tokens, features) + 4 * 2 * 12 * features**2


def pixels(model, samples, batch_size, dtype, threads):
    """Of layer 0 of a part; `threads` preprocess images."""
    batch = min(batch_size, samples), model["in_chans"] * math.prod(model["image_size"])
    # What is cut into chunks is copied on the way, and chunks are written.
    memory = PROCESS_BYTES + 6 * CHUNK_BYTES + loading_bytes(*batch, threads, 5, cut=True)
    return Cost(memory, (activation_disk(samples, *layer_shape(model, 0), dtype),))


def link(model, layer, samples, dtype, batch_size, threads, on_cpu=True):
    """Of a layer ≥ 1 of a part."""
    shape = layer_shape(model, layer)
    memory = link_memory(samples_at_work(min(batch_size, samples), threads, *shape, on_cpu), *shape)
    return Cost(memory, (activation_disk(samples, *shape, dtype),), link_flops(model, samples, layer))


def noise(model, layer, measured, batch_size, threads, on_cpu=True):
    """Of the noise of a layer, measured on so many samples; its store has them in float32 too."""
    shape = layer_shape(model, layer)
    memory = link_memory(samples_at_work(min(batch_size, measured), threads, *shape, on_cpu), *shape)
    memory += 4 * 4 * measured * math.prod(shape)
    return Cost(memory, (noise_disk(measured, *shape, 2),), link_flops(model, measured, layer))
