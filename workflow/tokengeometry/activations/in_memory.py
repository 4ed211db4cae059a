"""Every layer's moments from one forward pass, with no activation on disk.

A slab of samples goes through the model layer by layer, in memory. Where a slab is the whole part, one layer of it
and the sums of one layer are there at a time, and the model sees every image once. Where memory holds less than
that, slabs follow one another for as many layers as have their sums in memory, and again for the next layers.
"""

import math
import mmap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from tqdm import tqdm

from tokengeometry.activations.on_disk import check_finite
from tokengeometry.geometry import concatenated, moments
from tokengeometry.operations import product_rates
from tokengeometry.operations.cost import direct, sizes
from tokengeometry.operations.worker_threads import inferred


class _Held:
    """Samples in memory, sliced as sums take them: by numpy on the CPU, as tensors on a CUDA device.

    Parameters
    ----------
    values : torch.Tensor, (sample, token, feature), float32
    """

    def __init__(self, values):
        self._values = values
        self.shape = tuple(values.shape)
        self.dtype = np.dtype("float32")

    def __getitem__(self, samples):
        values = self._values[samples]
        return values if values.is_cuda else values.cpu().numpy()


def _slab(samples, pixels, tokens, device):
    """Memory for so many samples of layer 0, and for those of a later layer in the same place.

    A sample's pixels lie at or after its tokens, so that no sample's tokens lie over a later one's pixels.

    Parameters
    ----------
    samples : int
    pixels, tokens : (int, int)
        Tokens and features of layer 0 and of the later ones.
    device : torch.device

    Returns
    -------
    torch.Tensor, (sample, token, feature), float32, of layer 0
    torch.Tensor, (sample, token, feature), float32, of a later layer
    """
    before, after = (samples * math.prod(shape) for shape in (pixels, tokens))
    length = max(before, after)
    if device.type == "cpu":
        # The system's and not the heap's, which keeps what is freed: it goes back whole.
        memory = torch.frombuffer(mmap.mmap(-1, 4 * length), dtype=torch.float32)
    else:
        memory = torch.empty(length, dtype=torch.float32, device=device)
    return memory[length - before :].view(samples, *pixels), memory[:after].view(samples, *tokens)


def analyse(
    images,
    chain,
    layers,
    samples,
    *,
    size,
    joint=0,
    folds=0,
    doubts=None,
    doubted=0,
    noise=lambda layer, differences: None,
    reference=None,
    measured=0,
    device,
    sums_device,
    threads,
    products=product_rates.ON_CPU,
    workers=1,
    settle=lambda: None,
):
    """Moments of layers, and their concatenated spectra, layer by layer as they are done.

    Parameters
    ----------
    images : callable
        `images(start, stop)` gives the pixel patches of these samples of the part in batches, as torch tensors
        (sample, token, feature).
    chain : tokengeometry.model.token_chain.TokenChain
        With the weights of every layer up to the last of `layers`, on `device`, in the precision to compute in.
    layers : sequence of int
        Ascending; 0 is the pixels.
    samples : array of int, (sample,)
        The part's images' indices in the split.
    size : (int, int)
        Samples in a slab and layers in a group; see `tokengeometry.operations.cost.direct.direct_size`.
    joint : int
        The first so many samples make the concatenated spectrum; at most a slab. 0 is none.
    folds : int
        Of the concatenated spectrum; 0 is none.
    doubts : callable, optional
        `doubts(layer, samples)` says how sure the layer's numbers are.
    doubted : int
        From so many of the first samples; at most a slab. 0 is none.
    noise : callable, optional
        `noise(layer, differences)` is the layer's `tokengeometry.geometry.noise.Noise`, asked for when its first slab
        is there, for the concatenated spectrum; `differences` is the measured noise or None.
    reference : tokengeometry.model.token_chain.TokenChain, optional
        In float32: the first samples go through it too, where `chain` is coarser.
    measured : int
        How many of them; at most a slab.
    device : torch.device
        Of the forward pass.
    sums_device : torch.device or "cpu"
        See `tokengeometry.operations.devices.for_sums`.
    threads : int
        Of the sums on the CPU.
    products : tokengeometry.operations.product_rates.Products, optional
        In what the sums are multiplied; by default as on the CPU.
    workers : int
        Of the forward pass; see `tokengeometry.operations.worker_threads.inferred`.
    settle : callable, optional
        Called before memory is taken for a layer's sums, or for images: what the caller makes of the layers before,
        their moments too, is to be done by then.

    Yields
    ------
    layer : int
    callable
        Gives the Moments, once, in any thread; on a GPU it copies them to the host.
    (eigenvalues, floor, folded) or None
        As of `tokengeometry.geometry.concatenated.spectrum`; None without `joint`.
    differences : array, (sample, token, feature), float32, or None
        Of the first samples from the reference; None without one, and of layer 0.
    object
        What `doubts` gives; None without `doubted`.

    Raises
    ------
    StudyError
        If an activation is not finite.
    """
    slab, group = size
    count, joints, differences, sure = len(samples), {}, {}, {}
    shapes = chain.shape(0), chain.shape(1)
    starts = range(0, count, slab)
    if len(starts) == 1:
        group = len(layers)
    groups = [layers[first : first + group] for first in range(0, len(layers), group)]
    total = count * sum(max(members) + 1 for members in groups)
    progress = tqdm(total=total, desc="forward", unit="sample and layer", mininterval=5)
    for members in groups:
        sums = {layer: moments.Accumulator(sums_device, threads, products.scatter) for layer in members}
        for start in starts:
            stop = min(start + slab, count)
            settle()
            pixels, tokens = _slab(stop - start, *shapes, device)
            pieces = _fill(pixels, images(start, stop), samples[start:stop])
            values, exact = pixels, None
            if reference is not None and start == 0:
                exact = pixels[:measured].clone()
            for layer in range(max(members) + 1):
                if layer:
                    _advance(values, tokens, pieces, chain, layer, samples[start:stop], workers)
                    values = tokens
                    if exact is not None:
                        exact = _linked(exact, pieces, reference, layer, workers)
                progress.update(stop - start)
                if layer not in sums:
                    continue
                settle()
                held = _Held(values)
                rows = moments.batch_rows(*held.shape[1:])
                for first in range(0, stop - start, rows):
                    sums[layer].add(held[first : first + rows])
                if layer and exact is not None:
                    differences[layer] = (values[:measured] - exact).cpu().numpy()
                if joint and start == 0:
                    held, its = _Held(values[:joint]), noise(layer, differences.get(layer))
                    how = dict(folds=folds, device=sums_device, threads=threads, products=products.gram)
                    joints[layer] = concatenated.spectrum(held, its, **how)
                if doubted and start == 0:
                    sure[layer] = doubts(layer, _Held(values[:doubted]))
                if stop == count:
                    found = [its.pop(layer, None) for its in (joints, differences, sure)]
                    yield layer, sums.pop(layer).moments, *found
                    del found
            # Before the next images are loaded.
            del pixels, tokens, values, held, exact
    progress.close()


def analyse_writing(write, *arguments, **options):
    """`analyse`, with what is found of a layer finished and written by another thread beside the next layer.

    Parameters
    ----------
    write : callable
        `write(layer, moments, joint, differences, doubts)` is called with what `analyse` yields, but with the Moments
        in the place of what gives them.
    *arguments, **options
        Of `analyse`, but for `settle`.

    Raises
    ------
    Exception
        What giving the Moments or `write` raises, before anything is added to the next layer's sums.
    """
    writing = []

    def finish(layer, held, *found):
        # Of a layer's sums nothing is held any more when it is done: on a GPU the next ones take their place.
        write(layer, held.pop()(), *found)

    def written():
        while writing:
            writing.pop(0).result()

    with ThreadPoolExecutor(1) as writer:
        for layer, moments_of, *found in analyse(*arguments, settle=written, **options):
            writing.append(writer.submit(finish, layer, [moments_of], *found))
            # It is the writer's to forget.
            del moments_of, found
        written()


def _fill(pixels, batches, samples):
    """Take in layer 0; returns the slices of samples that the batches were."""
    pieces, stop = [], 0
    for batch in batches:
        pieces.append(slice(stop, stop + len(batch)))
        stop += len(batch)
        pixels[pieces[-1]] = batch
        _check_finite(pixels, pieces[-1], 0, samples)
    if stop != len(samples):
        raise ValueError(f"{stop} images came for {len(samples)} samples")
    return pieces


def _advance(values, tokens, pieces, chain, layer, samples, workers):
    """From one layer's `values` to the next one's `tokens`, piece by piece; see `_slab` for where they may lie."""
    precision = next(chain.model.parameters()).dtype

    def advance(piece):
        # As through a store of float32.
        return chain.link(layer, values[piece].to(precision)).float()

    for piece, found in zip(pieces, inferred(advance, pieces, workers), strict=True):
        tokens[piece] = found
        _check_finite(tokens, piece, layer, samples)


def _linked(values, pieces, chain, layer, workers):
    """The next layer of so many of the first samples."""

    def link(piece):
        return chain.link(layer, values[piece])

    within = [piece for piece in pieces if piece.start < len(values)]
    return torch.cat(list(inferred(link, within, workers)))


def _check_finite(values, piece, layer, samples):
    # A sum of finite numbers may overflow, but no other is finite.
    if not values[piece].sum().isfinite():
        check_finite(values[piece].cpu().numpy(), layer, samples[piece])


def size_on(device, memory, *job, threads):
    """Samples in a slab and layers in a group, for a GPU's free memory or else the `memory` given.

    The rest is as of `tokengeometry.operations.cost.direct.direct_size`.
    """
    if device.type == "cuda":
        # The process is the host's; a tenth is the allocator's.
        memory = 0.9 * torch.cuda.mem_get_info(device)[0] + sizes.PROCESS_BYTES
        # Of the sample Gram matrix it multiplies one piece at a time, in float64 at most.
        threads = 2
    return direct.direct_size(memory, *job, threads, device.type == "cpu")
