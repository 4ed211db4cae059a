"""Eigenspectra of covariances: of every token, of the averaged token, of all tokens pooled, of all concatenated.

The covariance is centred and divided by N (Joseph et al. 2023). Eigenvalues come in descending order,
with a floor below which they are rounding, not data.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tokengeometry import stores
from tokengeometry.blocks import BLOCK_BYTES, PIECE_LENGTH
from tokengeometry.errors import StudyError
from tokengeometry.moments import read_averaged, read_merged, token_blocks
from tokengeometry.pieces import in_order
from tokengeometry.rounding import eigenvalue_floor, product_floor


def eigenvalues(scatter, count, *, device="cpu", threads=1):
    """Eigenvalues of covariances.

    Parameters
    ----------
    scatter : array, (matrix, feature, feature), float64
        Sums of the centred outer products.
    count : int
        N, the number of samples in those sums.
    device : torch.device or str
        A CUDA device solves them in one batch.
    threads : int
        On the CPU, so many matrices are solved side by side, each by one thread: LAPACK's own threads
        gain little at these sizes, and lose much beside other processes.

    Returns
    -------
    array, (matrix, rank), float64, descending
    """
    if str(device) != "cpu":
        import torch

        values = torch.linalg.eigvalsh(torch.from_numpy(scatter).to(device)).cpu().numpy()
    else:
        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            values = np.stack(list(pool.map(np.linalg.eigvalsh, scatter)))
    return values[:, ::-1] / count


class PooledScatter:
    """The scatter of all tokens' samples taken as one set of N·T samples in D dimensions."""

    def __init__(self):
        self.count = 0

    def add(self, moments):
        """Take in the moments of a block of tokens."""
        tokens = len(moments.mean)
        total = moments.count * tokens
        mean = moments.mean.mean(axis=0)
        offset = moments.mean - mean
        scatter = moments.scatter.sum(axis=0) + moments.count * (offset.T @ offset)
        if self.count == 0:
            self.scatter, self.mean = scatter, mean
        else:
            step = mean - self.mean
            weight = self.count * total / (self.count + total)
            self.scatter = self.scatter + scatter + weight * np.outer(step, step)
            self.mean = self.mean + step * (total / (self.count + total))
        self.count += total


class Samples:
    """Samples of several activation stores in a row, up to a number of them.

    Parameters
    ----------
    parts : sequence of open activation stores
    count : int
        The first so many samples.
    """

    def __init__(self, parts, count):
        self._arrays = [part["activations"] for part in parts]
        self._edges = np.cumsum([0, *map(len, self._arrays)])
        self.shape = (min(count, int(self._edges[-1])), *self._arrays[0].shape[1:])
        self.dtype = self._arrays[0].dtype

    def __getitem__(self, samples):
        start, stop, _ = samples.indices(self.shape[0])
        values = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for array, edge in zip(self._arrays, self._edges, strict=False):
            # A chunk at a time, so that no second copy of the whole slice is ever there.
            low, high = max(start - edge, 0), min(stop - edge, len(array))
            step = array.chunks[0]
            for first in range(low - low % step, high, step):
                piece = slice(max(first, low), min(first + step, high))
                values[piece.start + edge - start : piece.stop + edge - start] = array[piece]
        return values


class _OnCPU:
    """What `concatenated` needs beyond the operators that numpy and torch share, by numpy.

    Parameters
    ----------
    products : {"float32", "float64"}
        In which the sample Gram matrix is multiplied out; it is added up in float64.
    threads : int
        Each multiplies pieces of its own.
    """

    def __init__(self, products, threads):
        self._products = np.dtype(products)
        self._threads = threads

    def in_order(self, multiply, pieces):
        with threadpool_limits(1):
            yield from in_order(multiply, pieces, self._threads)

    def zeros(self, *shape):
        return np.zeros(shape)

    def mean(self, values):
        """Over samples, in the precision of the products."""
        return values.mean(0, dtype=np.float64).astype(self._products)

    def centred(self, values, origin):
        return np.subtract(values, origin).astype(self._products, copy=False)

    def total(self, centred):
        return centred.sum(0, dtype=np.float64)

    def eigenvalues(self, matrix):
        with threadpool_limits(self._threads):
            return np.linalg.eigvalsh(matrix)


class _OnGPU:
    """The same in a CUDA device's memory, by torch, all in float64: those of data centres multiply it as fast."""

    def __init__(self, device):
        import torch

        self._torch, self._device = torch, device

    def in_order(self, multiply, pieces):
        return map(multiply, pieces)

    def zeros(self, *shape):
        return self._torch.zeros(shape, dtype=self._torch.float64, device=self._device)

    def mean(self, values):
        return self._double(values).mean(0)

    def centred(self, values, origin):
        return self._double(values) - origin

    def total(self, centred):
        return centred.sum(0)

    def eigenvalues(self, matrix):
        return self._torch.linalg.eigvalsh(matrix).cpu().numpy()

    def _double(self, values):
        return self._torch.as_tensor(values).to(self._device, self._torch.float64)


def concatenated(activations, *, device="cpu", threads=1, products="float32", block_bytes=BLOCK_BYTES):
    """Eigenvalues of the covariance of all tokens concatenated: N samples in T·D dimensions.

    They are those of the centred N×N Gram matrix of the samples divided by N, which is summed tile by
    tile in float64, so that memory holds that matrix and two blocks of samples. Products in float32 change an
    eigenvalue in its seventh digit, or by less than `tokengeometry.rounding.product_floor`.

    Parameters
    ----------
    activations : array-like, (sample, token, feature)
        Sliced along its first axis only; the slices are arrays or torch tensors.
    device : torch.device or str
        "cpu" computes by numpy, without torch; a CUDA device holds the Gram matrix.
    threads : int
        Of the CPU: each multiplies pieces of its own.
    products : {"float32", "float64"}
        What the CPU multiplies in; a CUDA device multiplies in float64.
    block_bytes : int
        Of a block of samples.

    Returns
    -------
    eigenvalues : array, (rank,), float64, descending; min(N, T·D) of them
    mean_square : float
        The mean of x² over samples, tokens and features.

    Raises
    ------
    StudyError
        If squares of activations are too large for the products.
    """
    samples, tokens, features = activations.shape
    width = tokens * features
    rows = max(1, block_bytes // (activations.dtype.itemsize * width))
    edges = np.linspace(0, samples, -(-samples // rows) + 1).astype(int)
    backend = _OnCPU(products, threads) if str(device) == "cpu" else _OnGPU(device)
    gram, origins = backend.zeros(samples, samples), {}

    def block(index):
        values = activations[edges[index] : edges[index + 1]]
        return values.reshape(len(values), width)

    squares = 0.0
    parts = [slice(start, start + PIECE_LENGTH) for start in range(0, width, PIECE_LENGTH)]
    pairs = [(i, j) for i in range(len(edges) - 1) for j in range(i + 1)]
    for i, j in tqdm(pairs, desc="sample Gram", unit="pair of blocks", mininterval=5):
        if j == 0:
            left = block(i)
        right = left if j == i else block(j)

        def multiply(part, i=i, j=j, left=left, right=right):
            """A piece's part of the Gram matrix, and what its x² are beyond that of the centred ones."""
            if i == 0:
                origins[part.start] = backend.mean(left[:, part])
            origin = origins[part.start]
            a = backend.centred(left[:, part], origin)
            if j == i:
                # Of a matrix with itself, numpy computes one triangle.
                return a @ a.T, float(2 * (origin @ backend.total(a)) + len(a) * (origin @ origin))
            return a @ backend.centred(right[:, part], origin).T, 0.0

        corner = gram[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
        for product, square in backend.in_order(multiply, parts):
            corner += product
            squares += square
        # Before the next blocks are read.
        del right, multiply, product
        if j == i:
            squares += float(corner.trace())
            del left
        else:
            gram[edges[j] : edges[j + 1], edges[i] : edges[i + 1]] = corner.T
    if not np.isfinite(float(gram.trace())):
        raise StudyError(f"squares of activations are beyond {products}: check the weights and images")
    row_mean = gram.mean(0)
    gram -= row_mean[:, None]
    gram -= row_mean[None, :] - row_mean.mean()
    values = backend.eigenvalues(gram)[::-1][: min(samples, width)] / samples
    return values, squares / (samples * width)


def write_concatenated(path, parts, count, /, *, device="cpu", threads=1, **attributes):
    """Write the spectrum of all tokens concatenated, of the first `count` samples of the parts.

    Parameters
    ----------
    path : path
        The store to make: `eigenvalues` (rank,), `floor` ().
    parts : sequence of open activation stores
    count : int
    device, threads
        See `concatenated`.
    **attributes
        Kept with the store.
    """
    samples = Samples(parts, count)
    values, mean_square = concatenated(samples, device=device, threads=threads)
    dtypes = [parts[0].attributes["compute_dtype"], str(samples.dtype)]
    save_concatenated(path, values, mean_square, samples.shape, dtypes, **attributes)


def save_concatenated(path, values, mean_square, shape, dtypes, /, **attributes):
    """Write the store of `write_concatenated` from what `concatenated` found.

    Parameters
    ----------
    path : path
    values, mean_square
        As of `concatenated`.
    shape : (int, int, int)
        Samples, tokens and features.
    dtypes : iterable of str
        Of the computation and of the activations.
    **attributes
        Kept with the store.
    """
    samples, tokens, features = shape
    dimensions = tokens * features
    floor = eigenvalue_floor(values[0], mean_square, len(values), dtypes, samples=samples, dimensions=dimensions)
    floor = max(floor, product_floor(values.sum(), samples))
    with stores.create(path, samples=samples, **attributes) as store:
        store.write("eigenvalues", values, ("rank",))
        store.write("floor", floor, ())


def write_spectra(path, parts, concatenated_spectrum, /, *, device="cpu", threads=1, **attributes):
    """Write all spectra of a layer.

    Parameters
    ----------
    path : path
        The store to make: `eigenvalues` (token, rank), `floor` (token,), `averaged` (rank,), `averaged_floor` (),
        `pooled` (rank,), `pooled_floor` (), `concatenated` (concatenated_rank,), `concatenated_floor` ().
    parts : sequence of open moment stores
    concatenated_spectrum : open store
        As of `write_concatenated`.
    device, threads
        Of the eigensolver; see `eigenvalues`.
    **attributes
        Kept with the store.
    """
    dtypes = parts[0].attributes["dtypes"]
    tokens, features = parts[0]["mean"].shape
    values, squares = np.empty((tokens, features)), np.empty(tokens)
    pooled = PooledScatter()
    progress = tqdm(total=tokens, desc="eigenvalues", unit="token", mininterval=5)
    for block in token_blocks(parts[0]):
        merged = read_merged(parts, block)
        values[block] = eigenvalues(merged.scatter, merged.count, device=device, threads=threads)
        squares[block] = values[block].mean(axis=1) + (merged.mean**2).mean(axis=1)
        pooled.add(merged)
        progress.update(len(merged.mean))
    progress.close()
    together = eigenvalues(pooled.scatter[None], pooled.count, device=device)[0]
    averaged = eigenvalues(read_averaged(parts).scatter, merged.count, device=device)[0]
    attributes = dict(
        attributes,
        samples=merged.count,
        tokens=tokens,
        concatenated_samples=concatenated_spectrum.attributes["samples"],
        dtypes=dtypes,
    )

    def floor(largest, mean_square, count):
        return eigenvalue_floor(largest, mean_square, features, dtypes, samples=count, dimensions=features)

    with stores.create(path, **attributes) as store:
        store.write("eigenvalues", values, ("token", "rank"))
        store.write("floor", floor(values[:, 0], squares, merged.count), ("token",))
        store.write("averaged", averaged, ("rank",))
        # The tokens' roundings are independent, and average out.
        store.write("averaged_floor", floor(averaged[0], squares.mean() / tokens, merged.count), ())
        store.write("pooled", together, ("rank",))
        store.write("pooled_floor", floor(together[0], squares.mean(), pooled.count), ())
        store.write("concatenated", concatenated_spectrum["eigenvalues"][:], ("concatenated_rank",))
        store.write("concatenated_floor", concatenated_spectrum["floor"][...], ())
