"""The eigenspectrum of all tokens concatenated: N samples in T·D dimensions, through their N×N Gram matrix."""

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tokengeometry.errors import StudyError
from tokengeometry.geometry.gram_backends import OnCPU, OnGPU
from tokengeometry.geometry.noise import Noise
from tokengeometry.geometry.noise_floor import eigenvalue_floor, noise_below, product_floor, solver_floor
from tokengeometry.geometry.uncertainty.spectra import of_gram
from tokengeometry.geometry.uncertainty.stores import write_folded
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import BLOCK_BYTES, PIECE_LENGTH, PROJECTED_BYTES, PROJECTED_RANKS

# A feature is massive where it has so many times the variance of its piece's mean. Few can be, and few are.
MASSIVE = 16


class Samples:
    """Samples of several activation stores in a row, up to a number of them.

    Parameters
    ----------
    parts : sequence of open activation stores
    count : int
        The first so many samples.
    """

    def __init__(self, parts, count):
        self._parts, self._arrays = parts, [part["activations"] for part in parts]
        self._edges = np.cumsum([0, *map(len, self._arrays)])
        self.shape = (min(count, int(self._edges[-1])), *self._arrays[0].shape[1:])
        self.dtype = self._arrays[0].dtype

    def labels(self):
        """The coordinate of the samples, as far as the stores have one.

        Returns
        -------
        dict of str to (tuple of str, array)
        """
        if "sample" not in self._parts[0]:
            return {}
        indices = np.concatenate([part["sample"][:] for part in self._parts])
        return {"sample": (("sample",), indices[: self.shape[0]])}

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


def spectrum(activations, noise=None, *, folds=0, device="cpu", threads=1, products="float32", block_bytes=BLOCK_BYTES):
    """Eigenvalues of the covariance of all tokens concatenated, and the floor of each.

    They are those of the centred N×N Gram matrix of the samples divided by N, which is summed tile by
    tile in float64, so that memory holds that matrix and two blocks of samples. Products in float32 change an
    eigenvalue in its seventh digit, or by less than `tokengeometry.geometry.noise_floor.product_floor`; features with
    much more variance than others are multiplied in float64, for the rounding of their products would cover the others.

    Parameters
    ----------
    activations : array-like, (sample, token, feature)
        Sliced along its first axis only; the slices are arrays or torch tensors.
    noise : tokengeometry.geometry.noise.Noise, optional
        By default rounding to float32.
    folds : int
        Into which the samples are dealt, to say how sure the spectrum is; 0 leaves that out.
    device : torch.device or str
        "cpu" computes by numpy, without torch; a CUDA device holds the Gram matrix.
    threads : int
        Of the CPU: each multiplies pieces of its own.
    products : {"float32", "float64"}
        In which the sample Gram matrix is multiplied out, but for massive features; it is added up in float64.
    block_bytes : int
        Of a block of samples.

    Returns
    -------
    eigenvalues : array, (rank,), float64, descending; min(N, T·D) of them
    floor : array, (rank,), float64
    folded : tokengeometry.geometry.uncertainty.spectra.Folded or None
        Without `folds` None.

    Raises
    ------
    StudyError
        If squares of activations are too large for the products.
    """
    backend = OnCPU(products, threads) if str(device) == "cpu" else OnGPU(products, device)
    noise = noise or Noise(["float32"])
    samples, tokens, features = activations.shape
    width = tokens * features
    rows = max(1, block_bytes // (activations.dtype.itemsize * width))
    edges = np.linspace(0, samples, -(-samples // rows) + 1).astype(int)

    def block(index):
        values = activations[edges[index] : edges[index + 1]]
        return values.reshape(len(values), width)

    sums = _Sums(backend, samples, width, noise)
    pairs = [(i, j) for i in range(len(edges) - 1) for j in range(i + 1)]
    for i, j in tqdm(pairs, desc="sample Gram", unit="pair of blocks", mininterval=5):
        if j == 0:
            left = block(i)
        right = left if j == i else block(j)
        sums.add(left, right, slice(edges[i], edges[i + 1]), slice(edges[j], edges[j + 1]))
        # Before the next blocks are read.
        del right
        if j == i:
            del left
    gram = sums.gram
    if not np.isfinite(float(gram.trace())):
        raise StudyError(f"squares of activations are beyond {products}: check the weights and images")
    row_mean = gram.mean(0)
    gram -= row_mean[:, None]
    gram -= row_mean[None, :] - row_mean.mean()
    folded = None
    if folds:
        values, vectors = backend.eigensystem(gram)
        with threadpool_limits(threads):
            folded = of_gram(backend.numpy(gram), values, vectors, folds)
        del vectors
    else:
        values = backend.eigenvalues(gram)
    values = values[: min(samples, width)] / samples
    # What is not above these is empty, whatever the noise of its direction.
    numerical = max(solver_floor(values[0], samples), product_floor(sums.narrow_variance(), samples))
    ranks = int((values > numerical).sum())
    if noise.differences is None:
        blocks = [(slice(edges[i], edges[i + 1]), lambda i=i: block(i)) for i in range(len(edges) - 1)]
        floor = _floor(values, ranks, noise, sums.mean_square().reshape(tokens, features), blocks, sums)
    else:
        floor = _measured_floor(values, ranks, sums)
    return values, np.maximum(floor, numerical), folded


class _Sums:
    """Sums over pairs of samples, about the means of the first block."""

    def __init__(self, backend, samples, width, noise):
        self.backend, self.samples, self.width = backend, samples, width
        self.gram = backend.zeros(samples, samples)
        self.origins, self.massive = {}, {}
        self.pieces = [slice(start, min(start + PIECE_LENGTH, width)) for start in range(0, width, PIECE_LENGTH)]
        # About the origin, of every feature: the sums of x and of x².
        self.totals, self.squares = np.zeros(width), np.zeros(width)
        self.differences, self.cross = None, None
        if noise.differences is not None:
            self.differences = noise.differences.reshape(-1, width)
            # Inner products of the measured noise and the samples.
            self.cross = np.zeros((len(self.differences), samples))

    def add(self, left, right, rows, columns):
        """Take in a pair of blocks of samples, which are these rows and columns of the Gram matrix."""
        backend, diagonal = self.backend, rows == columns

        def multiply(part):
            """A piece's part of the Gram matrix; and on the diagonal, sums over samples."""
            values = left[:, part]
            if part.start not in self.origins:
                self.origins[part.start] = backend.mean(values)
            origin = self.origins[part.start]
            centred = backend.centred(values, origin)
            sums = None
            if diagonal:
                squares = backend.numpy(backend.squares(centred))
                if part.start not in self.massive:
                    self.massive[part.start] = np.flatnonzero(squares > MASSIVE * squares.mean())
                sums = squares, backend.numpy(backend.total(centred))
            massive = self.massive[part.start]
            factor = backend.factor(centred, values, origin, massive)
            if not diagonal:
                values = right[:, part]
                other = backend.factor(backend.centred(values, origin), values, origin, massive)
                return backend.product(factor, other), None, None
            cross = None
            if self.cross is not None:
                noise = backend.double(self.differences[:, part])
                cross = backend.numpy(noise @ (backend.double(values) - backend.double(origin)).T)
            # Of a matrix with itself, numpy computes one triangle.
            return backend.product(factor, factor), sums, cross

        corner = self.gram[rows, columns]
        for part, (product, sums, cross) in zip(self.pieces, backend.in_order(multiply, self.pieces), strict=True):
            corner += product
            if sums is not None:
                self.squares[part] += sums[0]
                self.totals[part] += sums[1]
            if cross is not None:
                self.cross[:, rows] += cross
        if not diagonal:
            self.gram[columns, rows] = corner.T

    def origin(self):
        return np.concatenate([self.backend.numpy(self.origins[part.start]) for part in self.pieces]).astype(np.float64)

    def mean_square(self):
        """The mean of x² of every feature, (token·feature,)."""
        origin = self.origin()
        return np.clip((self.squares + 2 * origin * self.totals) / self.samples + origin**2, 0, None)

    def narrow_variance(self):
        """The variance of all features but the massive ones."""
        variance = self.squares / self.samples - (self.totals / self.samples) ** 2
        return sum(np.delete(variance[part], self.massive[part.start]).sum() for part in self.pieces)

    def mean(self):
        return self.origin() + self.totals / self.samples

    def eigenvectors(self, count):
        return self.backend.eigenvectors(self.gram, count)


def _measured_floor(values, ranks, sums):
    """The floor of measured noise, from its inner products with the samples."""
    noise = np.zeros(len(values))
    vectors = sums.backend.numpy(sums.eigenvectors(ranks)) if ranks else np.zeros((sums.samples, 0))
    # About the samples' mean.
    cross = sums.cross - sums.cross.mean(axis=1, keepdims=True)
    noise[:ranks] = np.square(cross @ vectors).sum(0) / (sums.samples * values[:ranks])
    total = np.square(sums.differences).sum()
    return eigenvalue_floor(noise, noise_below(noise, sums.samples, total=total))


def _floor(values, ranks, noise, mean_square, blocks, sums):
    """The floor of rounding.

    Bounds of a direction's noise are enough where the upper one cuts nothing that the lower one would not. Where it
    does, the noise of the ranks up to there is projected, which takes another pass over the samples.

    Parameters
    ----------
    values : array, (rank,)
    ranks : int
        Those that are resolved numerically.
    noise : tokengeometry.geometry.noise.Noise
    mean_square : array, (token, feature)
    blocks : list of (slice, callable)
        Samples, and what reads them, (sample, token·feature).
    sums : _Sums
    """
    variances = noise.variances(mean_square)
    samples, total = sums.samples, variances.sum()
    smallest, largest = noise.bounds(mean_square)
    upper = eigenvalue_floor(largest, total / samples)
    least = np.clip(total - largest * np.arange(1, ranks + 1), 0, None) / samples
    between = np.flatnonzero((values[:ranks] <= upper) & (values[:ranks] > eigenvalue_floor(smallest, least)))
    if not len(between):
        return np.full(len(values), upper)
    known = min(between[-1] + 1, PROJECTED_RANKS)
    along, exact = np.full(len(values), largest), np.zeros(len(values))
    along[:known] = exact[:known] = _projected(values[:known], noise, mean_square, blocks, sums)
    return eigenvalue_floor(along, noise_below(exact, samples, total=total))


def _projected(values, noise, mean_square, blocks, sums):
    """The noise along the leading eigenvectors Xᵀu/√(Nλ), by ranks whose eigenvectors fit into memory together."""
    backend, (tokens, features) = sums.backend, mean_square.shape
    vectors, mean = sums.eigenvectors(len(values)), backend.double(sums.mean())
    step = max(1, PROJECTED_BYTES // (8 * sums.width))
    abreast = max(1, PIECE_LENGTH // features)
    pieces = [slice(first, min(first + abreast, tokens)) for first in range(0, tokens, abreast)]
    found = np.zeros(len(values))
    for first in range(0, len(values), step):
        ranks = slice(first, min(first + step, len(values)))
        directions = backend.zeros(sums.width, ranks.stop - first)
        for rows, read in blocks:
            block, weights = read(), vectors[rows, ranks]

            def project(piece, block=block, weights=weights):
                part = slice(piece.start * features, piece.stop * features)
                return part, (backend.double(block[:, part]) - mean[part]).T @ weights

            for part, product in backend.in_order(project, pieces):
                directions[part] += product
            del block, project
        for piece in pieces:
            part = backend.numpy(directions[piece.start * features : piece.stop * features])
            part = part.reshape(-1, features, part.shape[1])
            found[ranks] += noise.along_unmeasured(part, mean_square[piece]).sum(axis=0)
    return found / (sums.samples * values)


def write(
    path, parts, count, differences=None, /, *, folds=0, device="cpu", threads=1, products="float32", **attributes
):
    """Write the spectrum of all tokens concatenated, of the first `count` samples of the parts.

    Parameters
    ----------
    path : path
        The store to make: `eigenvalues` and `floor` (rank,); with `folds` also `held_out` (held_out_rank,) and `scores`
        (sample, band), see `tokengeometry.geometry.uncertainty.spectra.of_gram`.
    parts : sequence of open activation stores
    count : int
    differences : open store, optional
        The measured noise; see `tokengeometry.activations.measured_noise`.
    folds, device, threads, products
        See `spectrum`.
    **attributes
        Kept with the store, as is `products`.
    """
    samples = Samples(parts, count)
    noise = Noise.of(parts, [parts[0].attributes["compute_dtype"], str(samples.dtype)], differences)
    found = spectrum(samples, noise, folds=folds, device=device, threads=threads, products=products)
    labels = parts[0].labels | samples.labels()
    save(path, *found, samples.shape[0], labels, folds=folds, gram_products=products, **attributes)


def save(path, eigenvalues, floor, folded, samples, labels, /, **attributes):
    """Write the store of `write` from what `spectrum` found.

    Parameters
    ----------
    path : path
        The store to make.
    eigenvalues, floor : array, (rank,), float64
    folded : tokengeometry.geometry.uncertainty.spectra.Folded or None
    samples : int
        How many samples they are of.
    labels : dict of str to (tuple of str, array)
        Coordinates of the layer.
    **attributes
        Kept with the store.
    """
    ranks = zarr_store.from_one(rank=len(eigenvalues), held_out_rank=len(folded.held_out) if folded else 0)
    with zarr_store.create(path, labels | ranks, samples=samples, **attributes) as store:
        store.write("eigenvalues", eigenvalues, ("rank",))
        store.write("floor", floor, ("rank",))
        if folded:
            write_folded(store, folded)
