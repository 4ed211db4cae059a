"""Every layer's moments from one forward pass, with no activation on disk.

A slab of samples goes through the model layer by layer, in memory. Where a slab is the whole part, one layer of it
and the sums of one layer are there at a time, and the model sees every image once. Where memory holds less than
that, slabs follow one another for as many layers as have their sums in memory, and again for the next layers.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from tqdm import tqdm

from tokengeometry import moments, plan, spectra
from tokengeometry.activations import check_finite
from tokengeometry.pieces import inferred


class Held:
    """Samples of one layer in memory, in batches; sliced like one array.

    Parameters
    ----------
    batches : list of torch.Tensor, (sample, token, feature)
        At least one; all but the last of the same length.
    count : int, optional
        The first so many samples; by default all.
    """

    def __init__(self, batches, count=None):
        self._batches = batches
        there = sum(map(len, batches))
        self.shape = (there if count is None else min(count, there), *batches[0].shape[1:])
        self.dtype = np.dtype("float32")

    def __getitem__(self, samples):
        start, stop, _ = samples.indices(self.shape[0])
        length = len(self._batches[0])
        pieces = [
            batch[max(0, start - first) : stop - first]
            for first, batch in zip(range(0, stop, length), self._batches, strict=False)
            if first + length > start
        ]
        values = torch.cat(pieces)
        return values if values.is_cuda else values.cpu().numpy()


def analyse(
    images,
    chain,
    layers,
    samples,
    *,
    size,
    joint=0,
    device,
    sums_device,
    threads,
    workers=1,
    settle=lambda: None,
):
    """Moments of layers, and their concatenated spectra, layer by layer as they are done.

    Parameters
    ----------
    images : callable
        `images(start, stop)` gives the pixel patches of these samples of the part in batches, as torch tensors
        (sample, token, feature).
    chain : tokengeometry.models.TokenChain
        With the weights of every layer up to the last of `layers`, on `device`, in the precision to compute in.
    layers : sequence of int
        Ascending; 0 is the pixels.
    samples : array of int, (sample,)
        The part's images' indices in the split.
    size : (int, int)
        Samples in a slab and layers in a group; see `tokengeometry.plan.direct_size`.
    joint : int
        The first so many samples make the concatenated spectrum; at most a slab. 0 is none.
    device : torch.device
        Of the forward pass.
    sums_device : torch.device or "cpu"
        See `tokengeometry.devices.for_sums`.
    threads : int
        Of the sums on the CPU.
    workers : int
        Of the forward pass; see `tokengeometry.pieces.inferred`.
    settle : callable, optional
        Called before memory is taken for a layer's sums, and before `images`, which may fork: what the caller makes of
        the layers before is to be done by then.

    Yields
    ------
    layer : int
    Moments
    (eigenvalues, mean_square) or None
        As of `tokengeometry.spectra.concatenated`; None without `joint`.

    Raises
    ------
    StudyError
        If an activation is not finite.
    """
    slab, group = size
    count, joints = len(samples), {}
    starts = range(0, count, slab)
    if len(starts) == 1:
        group = len(layers)
    groups = [layers[first : first + group] for first in range(0, len(layers), group)]
    total = count * sum(max(members) + 1 for members in groups)
    progress = tqdm(total=total, desc="forward", unit="sample and layer", mininterval=5)
    for members in groups:
        sums = {layer: moments.Accumulator(sums_device, threads) for layer in members}
        for start in starts:
            stop = min(start + slab, count)
            settle()
            held = [batch.to(device) for batch in images(start, stop)]
            for layer in range(max(members) + 1):
                _advance(held, chain, layer, samples[start:stop], workers)
                progress.update(stop - start)
                if layer not in sums:
                    continue
                settle()
                values = Held(held)
                rows = moments.batch_rows(*values.shape[1:])
                for first in range(0, stop - start, rows):
                    sums[layer].add(values[first : first + rows])
                if joint and start == 0:
                    joints[layer] = spectra.concatenated(Held(held, joint), device=sums_device, threads=threads)
                if stop == count:
                    yield layer, sums.pop(layer).moments(), joints.pop(layer, None)
    progress.close()


def analyse_writing(write, *arguments, **options):
    """`analyse`, with what is found of a layer written by another thread while the model goes on to the next.

    Parameters
    ----------
    write : callable
        `write(layer, moments, joint)` is called with what `analyse` yields.
    *arguments, **options
        Of `analyse`, but for `settle`.

    Raises
    ------
    Exception
        What `write` raises, before anything is added to the next layer's sums.
    """
    writing = []

    def written():
        while writing:
            writing.pop(0).result()

    with ThreadPoolExecutor(1) as writer:
        for found in analyse(*arguments, settle=written, **options):
            writing.append(writer.submit(write, *found))
            # It is the writer's to forget.
            del found
        written()


def _advance(held, chain, layer, samples, workers):
    """From one layer to the next, batch by batch in place; layer 0 is there already."""
    precision = next(chain.model.parameters()).dtype

    def advance(batch):
        # As through a store of float32.
        return chain.link(layer, batch.to(precision)).float()

    first = 0
    for index, batch in enumerate(inferred(advance, held, workers) if layer else held):
        held[index] = batch
        # A sum of finite numbers may overflow, but no other is finite.
        if not batch.sum().isfinite():
            check_finite(batch.cpu().numpy(), layer, samples[first:])
        first += len(batch)


def size_on(device, memory, *shape, threads):
    """Samples in a slab and layers in a group, for a GPU's free memory or else the `memory` given.

    The rest is as of `tokengeometry.plan.direct_size`.
    """
    if device.type == "cuda":
        # The process is the host's; a tenth is the allocator's.
        memory = 0.9 * torch.cuda.mem_get_info(device)[0] + plan.PROCESS_BYTES
        # Of the sample Gram matrix it multiplies one piece at a time, in float64.
        threads = 2
    return plan.direct_size(memory, *shape, threads)
