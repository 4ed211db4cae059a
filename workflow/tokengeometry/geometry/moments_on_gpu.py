"""The sums of `moments` in a CUDA device's memory, by torch: multiplied in float64, or in slices of float32.

Consumer cards multiply float64 at 1/32 or 1/64 of their speed in float32. There each value is cut into a first and a
second slice and a rest, x = a + b + c, and the scatter is aᵀa + (aᵀb + bᵀa) + what is left. A slice has so few bits
that float32 adds up its products without any rounding, in whatever order the device adds (Ozaki et al. 2012). Rounding
of what is left is 2⁻¹⁸ of what plain float32 makes, and all blocks of samples are added in float64.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from tokengeometry.geometry.moments import GRAM_LENGTH, Moments, check_squares

# A column of a slice has at most this norm, in units of its last bit. So of two columns, all partial sums of their
# products are whole numbers up to 2²⁴ (Cauchy & Schwarz), and those float32 has.
SLICE_NORM = 2**12
# Of a block of samples that is multiplied out at a time. More samples leave fewer bits to a slice; fewer samples make
# more sums in float64.
BLOCK_SAMPLES = 512
# In float32, of the tokens that are centred or cut into slices at a time, and of their products.
TOKENS_BYTES = 2**25
# Of a piece that is copied to the host, and how many are copied side by side.
HOST_BYTES = 2**26
HOST_COPIES = 8


class Float64Sums:
    """Sums over samples about a provisional mean, in float64.

    Parameters
    ----------
    origin : torch.Tensor, (token, feature), float64
        The provisional mean, on the device.
    """

    def __init__(self, origin):
        tokens, features = origin.shape
        self.origin = origin
        self.count = 0
        self.total = origin.new_zeros(tokens, features)
        self.scatter = origin.new_zeros(tokens, features, features)
        self.gram = origin.new_zeros(tokens, tokens)
        self.averaged = origin.new_zeros(features, features)
        self._norms = []

    def add(self, batch):
        """Take in samples.

        Parameters
        ----------
        batch : torch.Tensor, (sample, token, feature), of any float dtype
        """
        samples, tokens, features = batch.shape
        # Token by token, so that its flattened form is no copy; centred in place for the same reason.
        values = self.origin.new_empty(tokens, samples, features).copy_(batch.permute(1, 0, 2))
        self._norms.append(values.norm(dim=2).T.float().cpu().numpy())
        values -= self.origin[:, None]
        self.total += values.sum(dim=1)
        self.scatter.baddbmm_(values.transpose(1, 2), values)
        flat = values.flatten(start_dim=1)
        self.gram.addmm_(flat, flat.T)
        averages = values.mean(dim=0)
        self.averaged.addmm_(averages.T, averages)
        self.count += samples

    def moments(self):
        """The moments of all samples so far; the sums are used up.

        Returns
        -------
        Moments
        """
        offset = self.total / self.count
        self.scatter.baddbmm_(offset[:, :, None], offset[:, None, :], alpha=-self.count)
        self.gram.addmm_(offset, offset.T, alpha=-self.count)
        step = offset.mean(dim=0)
        self.averaged.addr_(step, step, alpha=-self.count)
        arrays = self.origin + offset, self.scatter, self.gram, self.averaged
        return Moments(self.count, *map(to_host, arrays), np.concatenate(self._norms))


class Float32Sums(Float64Sums):
    """The same, multiplied in float32 and added in float64: the scatter in slices, the Gram matrix as on the CPU.

    Parameters
    ----------
    origin : torch.Tensor, (token, feature), float64
        The provisional mean, on the device.
    """

    # Until the end, `scatter` is half of it: a matrix that makes the scatter with its transpose.

    def add(self, batch):
        """Take in samples.

        Parameters
        ----------
        batch : torch.Tensor, (sample, token, feature), of any float dtype
        """
        samples, tokens, features = batch.shape
        norms = batch.new_empty(tokens, samples, dtype=torch.float32)
        centred = batch.new_empty(tokens, samples, features, dtype=torch.float32)
        averages = self.origin.new_zeros(samples, features)
        abreast = max(1, TOKENS_BYTES // (4 * samples * features))
        for first in range(0, tokens, abreast):
            piece = slice(first, first + abreast)
            values = batch[:, piece].transpose(0, 1).double()
            norms[piece] = values.norm(dim=2)
            values = values - self.origin[piece, None]
            self.total[piece] += values.sum(dim=1)
            averages += values.sum(dim=0) / tokens
            centred[piece] = values
        self._norms.append(norms.T.cpu().numpy())
        self.averaged.addmm_(averages.T, averages)
        blocks = -(-samples // BLOCK_SAMPLES)
        for block in centred.split(-(-samples // blocks), dim=1):
            abreast = max(1, TOKENS_BYTES // (4 * features * max(block.shape[1], features)))
            for values, scatter in zip(block.split(abreast), self.scatter.split(abreast), strict=True):
                for product in half_products(values):
                    scatter += product
        for piece in centred.flatten(start_dim=1).split(GRAM_LENGTH, dim=1):
            self.gram += piece @ piece.T
        self.count += samples

    def moments(self):
        """The moments of all samples so far; the sums are used up.

        Returns
        -------
        Moments

        Raises
        ------
        StudyError
            If squares of activations are too large for float32.
        """
        for half in self.scatter:
            half.copy_(half + half.T)
        found = super().moments()
        check_squares(found.gram)
        return found


def to_host(tensor):
    """A tensor in the host's memory: from a GPU piece by piece, through memory that the GPU can write to.

    Taking new memory from the system is slower than the copy. So threads do it side by side.

    Parameters
    ----------
    tensor : torch.Tensor

    Returns
    -------
    array
        Of the same shape and dtype.
    """
    if not tensor.is_cuda or tensor.nbytes <= HOST_BYTES:
        return tensor.cpu().numpy()
    tensor = tensor.contiguous()
    found = torch.empty(tensor.shape, dtype=tensor.dtype)
    pieces = zip(*(its.view(-1).split(HOST_BYTES // tensor.element_size()) for its in (tensor, found)), strict=True)
    # For what makes the tensor, not for what another thread queues after it.
    torch.cuda.current_stream(tensor.device).record_event().synchronize()
    local = threading.local()

    def copy(pair):
        its, place = pair
        if not hasattr(local, "stage"):
            local.stage = torch.empty(HOST_BYTES // tensor.element_size(), dtype=tensor.dtype, pin_memory=True)
            local.stream = torch.cuda.Stream(tensor.device)
        with torch.cuda.stream(local.stream):
            local.stage[: len(its)].copy_(its, non_blocking=True)
        local.stream.synchronize()
        place.numpy()[:] = local.stage[: len(its)].numpy()

    with ThreadPoolExecutor(HOST_COPIES) as pool:
        for _ in pool.map(copy, pieces):
            pass
    return found.numpy()


SUMS = {"float64": Float64Sums, "float32": Float32Sums}


def half_products(values):
    """Matrices whose sum P makes the product of values with themselves: xᵀx = P + Pᵀ.

    Parameters
    ----------
    values : torch.Tensor, (token, sample, feature), float32

    Yields
    ------
    torch.Tensor, (token, feature, feature), float32
        The first two are exact. The third has rounding of some 2⁻²⁴ · 2⁻¹⁸ of the size of the first.
    """
    first = leading_slice(values)
    both = values - first
    second = leading_slice(both)
    across = first.transpose(1, 2)
    yield across @ (first / 2)
    yield across @ second
    left = both.transpose(1, 2) @ (both / 2)
    yield left.baddbmm_(across, both - second)


def leading_slice(values):
    """Values rounded to few bits: in each column to multiples of one power of 2, of which it has norm 2¹² at most.

    Parameters
    ----------
    values : torch.Tensor, (..., sample, feature), float32

    Returns
    -------
    torch.Tensor, (..., sample, feature), float32
        What it differs from the values by is a number of float32 too.
    """
    norm = torch.linalg.vector_norm(values, dim=-2, keepdim=True, dtype=torch.float64)
    # Rounding adds up to half a unit to each sample.
    unit = (norm / (SLICE_NORM - values.shape[-2] ** 0.5 / 2)).log2().ceil().exp2().float()
    # Beside so large a number, float32 has no bits below the unit.
    large = 1.5 * 2**23 * unit
    return (values + large) - large
