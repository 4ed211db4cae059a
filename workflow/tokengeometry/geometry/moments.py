"""Sums from which every statistic of a layer follows, and which add up over parts.

For tokens x_t ∈ R^D over N samples: the mean μ_t, the scatter Σ_n (x_t − μ_t)(x_t − μ_t)ᵀ of every token and of the
averaged token x̄ = Σ_t x_t / T, and the Gram matrix Σ_n ⟨x_s − μ_s, x_t − μ_t⟩ of the tokens. Batches are added
up in float64 about a provisional mean, that of the first 32 samples; parts are merged by the pairwise update of Chan,
Golub & LeVeque (1983).
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from threadpoolctl import threadpool_limits

from tokengeometry.data import eight_bit
from tokengeometry.errors import StudyError
from tokengeometry.geometry import triangles
from tokengeometry.model.tokens import labels_of_pairs
from tokengeometry.operations.worker_threads import in_order
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import BATCH_BYTES, batch_rows, chunk_length

# The Gram matrix is a matter of correlations, to which the seventh digit is nothing: its products are made in
# float32, of so many values at a time, and added in float64. Small eigenvalues of the scatter need float64 throughout.
GRAM_PRODUCTS = np.float32
GRAM_LENGTH = 2**14
# Dimensions of the scatter in a store, and an attribute of the store that says what they are.
SCATTER_DIMS = ("token", "feature_pair")
SCATTER_ORDER = "upper triangle of (feature, other_feature), row by row"


@dataclass(frozen=True)
class Moments:
    """Moments of one layer's tokens about their means.

    Attributes
    ----------
    count : int
        N, the number of samples.
    mean : array, (token, feature), float64
    scatter : array, (token, feature, feature), float64, or None where it is not needed
    gram : array, (token, token), float64, or None where it is not needed
    averaged : array, (feature, feature), float64, or None where it is not needed
        The scatter of the averaged token.
    norms : array, (sample, token), float32, or None where it is not needed
        ‖x‖ of every token of every sample.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray | None
    gram: np.ndarray | None
    averaged: np.ndarray | None = None
    norms: np.ndarray | None = None

    def merge(self, other):
        """The moments of both sets of samples together.

        Parameters
        ----------
        other : Moments
            Of other samples of the same tokens; `norms` of them stand behind.

        Returns
        -------
        Moments
        """
        count = self.count + other.count
        step = other.mean - self.mean
        weight = self.count * other.count / count
        scatter = averaged = norms = None
        if self.scatter is not None:
            scatter = self.scatter + other.scatter + (weight * step)[:, :, None] * step[:, None, :]
        if self.averaged is not None:
            between = step.mean(axis=0)
            averaged = self.averaged + other.averaged + weight * np.outer(between, between)
        if self.norms is not None:
            norms = np.concatenate([self.norms, other.norms])
        return Moments(
            count,
            self.mean + step * (other.count / count),
            scatter,
            self.gram + other.gram + weight * (step @ step.T),
            averaged,
            norms,
        )


class _Sums:
    """Sums over samples about a provisional mean, in float64 on the CPU; products for the Gram matrix in float32.

    Parameters
    ----------
    origin : array, (token, feature), float64
        The provisional mean.
    threads : int
    """

    def __init__(self, origin, threads):
        tokens, features = origin.shape
        self.origin = origin
        self.count = 0
        self.total = np.zeros((tokens, features))
        self.scatter = np.zeros((tokens, features, features))
        self.gram = np.zeros((tokens, tokens))
        self.averaged = np.zeros((features, features))
        self._norms = []
        self._threads = threads

    def add(self, batch):
        """Take in samples, (sample, token, feature)."""
        samples, tokens, features = batch.shape
        centred = np.empty((tokens, samples, features), GRAM_PRODUCTS)
        norms = np.empty((samples, tokens), np.float32)

        def add_token(token):
            # One token at a time in float64: it stays in the processor's cache.
            values = batch[:, token].astype(np.float64)
            norms[:, token] = np.linalg.norm(values, axis=1)
            values -= self.origin[token]
            centred[token] = values
            self.total[token] += values.sum(axis=0)
            # Of a matrix with itself, numpy computes one triangle.
            self.scatter[token] += values.T @ values

        with threadpool_limits(1), ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(add_token, range(tokens)):
                pass
        flat = centred.reshape(tokens, -1)
        with threadpool_limits(self._threads):
            for start in range(0, flat.shape[1], GRAM_LENGTH):
                piece = flat[:, start : start + GRAM_LENGTH]
                self.gram += piece @ piece.T
            averages = batch.mean(axis=1, dtype=np.float64) - self.origin.mean(axis=0)
            self.averaged += averages.T @ averages
        self._norms.append(norms)
        self.count += samples

    def moments(self):
        """The moments of all samples so far; the sums are used up."""
        offset = self.total / self.count
        for scatter, step in zip(self.scatter, offset, strict=True):
            scatter -= self.count * np.outer(step, step)
        self.gram -= self.count * (offset @ offset.T)
        step = offset.mean(axis=0)
        self.averaged -= self.count * np.outer(step, step)
        check_squares(self.gram)
        norms = np.concatenate(self._norms)
        return Moments(self.count, self.origin + offset, self.scatter, self.gram, self.averaged, norms)


def check_squares(gram):
    """Stop where products in float32 have overflowed.

    Parameters
    ----------
    gram : array, (token, token), float64

    Raises
    ------
    StudyError
    """
    if not np.isfinite(gram).all():
        raise StudyError(f"squares of activations are beyond {np.dtype(GRAM_PRODUCTS)}: check the weights and images")


class Accumulator:
    """Moments of a stream of samples, taken in batch by batch.

    Parameters
    ----------
    device : torch.device or str
        "cpu" computes by numpy, without torch; a CUDA device holds the sums.
    threads : int
        Of the CPU: each takes tokens of its own.
    products : {"float64", "float32"}
        In which a CUDA device multiplies; `tokengeometry.operations.product_rates.chosen` says which is faster there.
        The CPU multiplies the scatter in float64.
    """

    def __init__(self, device="cpu", threads=1, products="float64"):
        self._device = device
        self._threads = threads
        self._products = products
        self._sums = None

    def add(self, batch):
        """Take in samples.

        Parameters
        ----------
        batch : array or torch tensor, (sample, token, feature), of any float dtype
        """
        if str(self._device) == "cpu":
            batch = np.asarray(batch)
            first = batch[0].astype(np.float64)
        else:
            import torch

            batch = torch.as_tensor(batch).to(self._device)
            first = batch[0].double()
        if self._sums is None:
            # A token that is the same in every sample is its own mean, exactly.
            origin = first + (batch[:32] - first).mean(0)
            if isinstance(origin, np.ndarray):
                self._sums = _Sums(origin, self._threads)
            else:
                from tokengeometry.geometry.moments_on_gpu import SUMS

                self._sums = SUMS[self._products](origin)
        self._sums.add(batch)

    def moments(self):
        """The moments of all samples so far; nothing can be added after it.

        Returns
        -------
        Moments

        Raises
        ------
        ValueError
            If there were none.
        StudyError
            If their squares are too large for float32, in which some products are made.
        """
        if self._sums is None:
            raise ValueError("no samples to accumulate")
        return self._sums.moments()


def accumulate(batches, *, device="cpu", threads=1, products="float64"):
    """The moments of a stream of samples.

    Parameters
    ----------
    batches : iterable of arrays or torch tensors, (sample, token, feature)
        At least one; of any float dtype.
    device, threads, products
        As of `Accumulator`.

    Returns
    -------
    Moments
    """
    accumulator = Accumulator(device, threads, products)
    for batch in batches:
        accumulator.add(batch)
        # Before the next batch is read, not after.
        del batch
    return accumulator.moments()


def batches(store, *, batch_bytes=BATCH_BYTES):
    """An activation store's samples in batches of whole chunks.

    Parameters
    ----------
    store : open store
        Of activations.
    batch_bytes : int
        About the size of a batch in float32.

    Yields
    ------
    array, (sample, token, feature)
        In the store's dtype.
    """
    activations = store["activations"]
    chunk = activations.chunks[0]
    step = max(1, batch_rows(*activations.shape[1:], batch_bytes=batch_bytes) // chunk) * chunk
    for start in range(0, len(activations), step):
        yield activations[start : start + step]


def write(path, moments, labels=None, /, *, threads=1, **attributes):
    """Write moments as a store.

    Parameters
    ----------
    path : path
        The store to make, with an array for each attribute of `Moments`. Of the scatter it has the triangles, (token,
        feature pair); see `tokengeometry.geometry.triangles.unpack_scatter`.
    moments : Moments
        With all that may be None.
    labels : dict of str to (tuple of str, array), optional
        Coordinates of the layer and its samples.
    threads : int
        Each packs and writes tokens of its own.
    **attributes
        Kept with the store.
    """
    with _create(path, moments, labels or {}, attributes) as (store, scatter):

        def pack(block):
            scatter[block] = triangles.pack_scatter(moments.scatter[block])

        for _ in in_order(pack, token_blocks(scatter), threads):
            pass
        store.write("norms", moments.norms, ("sample", "token"))


@contextmanager
def _create(path, moments, labels, attributes):
    """A moment store that has all but norms and scatter: the store, and the array of the scatter to be filled."""
    described = dict(samples=moments.count, scatter_order=SCATTER_ORDER) | attributes
    with zarr_store.create(path, labels_of_pairs(labels), **described) as store:
        store.write("mean", moments.mean, ("token", "feature"))
        store.write("gram", moments.gram, ("token", "other_token"))
        store.write("averaged", moments.averaged, ("feature", "other_feature"))
        tokens, features = moments.mean.shape
        shape = tokens, triangles.length(features)
        # So many tokens that their whole matrices are as large as a chunk: a reader unpacks them together.
        chunks = chunk_length((tokens, features, features), np.float64), shape[1]
        yield store, store.create("scatter", shape, np.float64, SCATTER_DIMS, chunks=chunks)


def token_blocks(scatter):
    """Slices of tokens that are one chunk of the scatter.

    Parameters
    ----------
    scatter : stored array, (token, feature pair)

    Yields
    ------
    slice
    """
    for start in range(0, scatter.shape[0], scatter.chunks[0]):
        yield slice(start, start + scatter.chunks[0])


def _read(store, tokens=slice(None), *, scatter=False, averaged=False):
    """The moments of a store but for its norms, with the scatter as it is there, (token, feature pair)."""
    return Moments(
        store.attributes["samples"],
        store["mean"][tokens],
        store["scatter"][tokens] if scatter else None,
        store["gram"][tokens, tokens],
        store["averaged"][:] if averaged else None,
    )


def _merge(one, other):
    """As `Moments.merge`, of scatters that are triangles, (token, feature pair); that of `one` is used up."""
    scatter = one.scatter
    if scatter is not None:
        scatter += other.scatter
        step = other.mean - one.mean
        triangles.add_outer(scatter, one.count * other.count / (one.count + other.count) * step, step)
    return replace(replace(one, scatter=None).merge(replace(other, scatter=None)), scatter=scatter)


def read_merged(parts, tokens=slice(None), *, scatter=True):
    """The moments of a block of tokens over several stores.

    Parameters
    ----------
    parts : sequence of open moment stores
        They are merged in their order.
    tokens : slice
        Of the token axis; of both axes of the Gram matrix.
    scatter : bool
        Whether to read the scatter, by far the largest of them.

    Returns
    -------
    Moments
    """
    merged = reduce(_merge, (_read(store, tokens, scatter=scatter) for store in parts))
    return replace(merged, scatter=triangles.unpack_scatter(merged.scatter)) if scatter else merged


def products_of(parts, key):
    """In what the sums of stores were multiplied.

    Parameters
    ----------
    parts : sequence of open moment stores
    key : {"scatter_products", "gram_products"}

    Returns
    -------
    list of str
        Sorted; more than one where devices differed.
    """
    found = (part.attributes.get(key, []) for part in parts)
    return sorted({name for its in found for name in ([its] if isinstance(its, str) else its)})


def write_merged(path, parts, /, **attributes):
    """Write the moments of several stores as one, block by block of tokens.

    Parameters
    ----------
    path : path
        The store to make.
    parts : sequence of open moment stores
        Of samples that follow one another.
    **attributes
        Kept with the store, beside those of the parts that do not tell them apart.
    """
    labels = parts[0].labels
    if "sample" in labels:
        labels["sample"] = (("sample",), np.concatenate([part["sample"][:] for part in parts]))
    attributes["dtypes"] = parts[0].attributes["dtypes"]
    attributes |= {key: products_of(parts, key) for key in ("scatter_products", "gram_products")}
    attributes["eight_bit"] = eight_bit.together([part.attributes.get("eight_bit") for part in parts])
    whole = reduce(_merge, (_read(part, averaged=True) for part in parts))
    with _create(path, whole, labels, attributes) as (store, scatter):
        for block in token_blocks(scatter):
            scatter[block] = reduce(_merge, (_read(part, block, scatter=True) for part in parts)).scatter
        norms = store.create("norms", (whole.count, len(whole.mean)), np.float32, ("sample", "token"))
        start = 0
        for part in parts:
            values = part["norms"][:]
            norms[start : start + len(values)] = values
            start += len(values)


def read_averaged(parts):
    """The moments of the averaged token over several stores, as of a layer of this one token.

    Parameters
    ----------
    parts : sequence of open moment stores
        They are merged in their order.

    Returns
    -------
    Moments
        With mean (1, feature), scatter (1, feature, feature) and gram (1, 1).
    """

    def part(store):
        scatter = store["averaged"][:]
        mean = store["mean"][:].mean(axis=0, keepdims=True)
        return Moments(store.attributes["samples"], mean, scatter[None], np.array([[scatter.trace()]]))

    return reduce(Moments.merge, map(part, parts))
