"""What direct mode costs, and how it fits into so much memory."""

import math

from tokengeometry.operations.cost.forward import block_bytes, link_flops, loading_bytes, samples_at_work
from tokengeometry.operations.cost.sizes import PROCESS_BYTES, Cost, layer_shape, noise_disk
from tokengeometry.operations.cost.sums import (
    concatenated,
    differences_bytes,
    folding_bytes,
    gram_bytes,
    moments,
    uncertainty,
    written_bytes,
)
from tokengeometry.storage.chunk_sizes import BATCH_BYTES, CHUNK_BYTES, SLABS_BYTES, batch_rows


def direct(model, layers, batch_size, samples, joint, measured=0, threads=1, on_cpu=True, folded=0, folds=0):
    """Of a part in direct mode, of which so many samples are folded; the others are those of `direct_memory`."""
    size = model, layers, batch_size, samples, max(joint, folded), measured
    memory = direct_memory(*size, threads, on_cpu)
    shapes = [layer_shape(model, layer) for layer in layers]
    sums = [moments(samples, *shape) for shape in shapes]
    sums += [concatenated(joint, *shape, folds=folds) for shape in shapes] if joint else []
    stores = [its.disk for its in sums]
    # Without the layer in float32 from which the next one would follow.
    stores += [noise_disk(measured, *layer_shape(model, layer), 1) for layer in layers if layer and measured]
    errors = [uncertainty(folded, folds, *shape, threads) for shape in shapes] if folded else []
    stores += [its.disk for its in errors]
    _, group = direct_size(memory, *size, threads, on_cpu)
    passes = -(-len(layers) // group)
    forward = sum(link_flops(model, samples + measured, layer) for layer in range(1, max(layers) + 1))
    return Cost(memory, tuple(stores), passes * forward + sum(its.flops for its in sums + errors))


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
    values, (tokens, features) = math.prod(layer_shape(model, 0)), layer_shape(model, 1)
    shapes = [layer_shape(model, layer) for layer in layers]
    scatter = max(8 * t * d**2 for t, d in shapes)
    sums = scatter + max(8 * (t**2 + 2 * t * d) for t, d in shapes)
    weights = 4 * max(layers) * 12 * features**2
    # The reference's weights, two of its layers, and its differences.
    reference = bool(measured) * weights + 3 * differences_bytes(measured, *max(shapes, key=math.prod))
    at_work = samples_at_work(batch_size, threads, tokens, features, on_cpu)
    # What is there beside those, one after the other: images that are loaded; samples in the model and the
    # chunks of the layer before that are being written; a batch and what is made of it; the sample Gram matrix.
    # Besides, gaps of the heap that one of them leaves and the next can't use.
    work = 4 * CHUNK_BYTES + max(
        loading_bytes(batch_size, values, threads, 1, cut=True),
        block_bytes(at_work, tokens, features) + written_bytes(scatter),
        3 * BATCH_BYTES,
        max(gram_bytes(joint, t * d, 4 * t * d, 0, threads) for t, d in shapes),
        max(folding_bytes(joint, t, d, threads) for t, d in shapes),
    )
    return PROCESS_BYTES + weights + reference + work, 4 * max(values, tokens * features), sums


def _smallest_slab(model, layers, samples, joint):
    return min(samples, max(joint, *(batch_rows(*layer_shape(model, layer)) for layer in layers)))
