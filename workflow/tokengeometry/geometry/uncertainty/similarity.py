"""How alike the tokens of a layer are, in four ways, each with its standard error.

`correlation` is Pearson's of the flattened activations. `centred` is the same where every feature is centred over the
images, so that what all images share does not count. Both have the jackknife's error over folds of the images.

`cka` is the debiased linear CKA of two tokens: HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) of their Gram matrices of n
images, with the unbiased estimator of Song et al. (2012), as in Nguyen, Raghu & Kornblith (2021). Up to a factor that
cancels, with diagonals of 0,

    HSIC(K, L) = tr KL + 1ᵀK1 1ᵀL1 / ((n − 1)(n − 2)) − 2 1ᵀKL1 / (n − 2).

A leave-one-fold-out trace is the whole one without the fold's rows and columns, so the jackknife needs no more products
than the estimate.

`cosine` is the mean over the images of the mean cosine between two tokens of an image. With k unit vectors of the sum v
the latter is (‖v‖² − k) / (k (k − 1)).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from tokengeometry.errors import StudyError
from tokengeometry.geometry import correlation
from tokengeometry.geometry.moments import GRAM_LENGTH, GRAM_PRODUCTS
from tokengeometry.geometry.noise_floor import EPSILON
from tokengeometry.geometry.uncertainty.by_token import by_token
from tokengeometry.operations.worker_threads import in_order
from tokengeometry.storage.chunk_sizes import BLOCK_BYTES, batch_rows

MEASURES = ("correlation", "centred", "cka", "cosine")
KINDS = ("mean", "mean_spatial", "mean_cls_spatial")
# Of their columns in `correlation.csv`.
PREFIXES = {measure: "" if measure == "correlation" else f"{measure}_" for measure in MEASURES}

# Image n is in fold n mod FOLDS.
FOLDS = 10
# CKA takes no more images: its cost is their square.
CKA_IMAGES = 500
# What is left of a sum of float32's products after a subtraction is rounding where it is no more than this part of it.
CANCELLED = 32 * EPSILON["float32"]


@dataclass(frozen=True)
class Similarity:
    """Means over pairs of tokens.

    Attributes
    ----------
    value : array, (measure, kind), float64
        In the order of `MEASURES` and `KINDS`; the kinds of pairs are those of
        `tokengeometry.geometry.correlation.pair_means`. NaN where there is no pair, or none is defined.
    error : array, (measure, kind), float64
        The standard errors. NaN where the images are too few, or where a mean is not defined without one of the folds.
    without : array, (measure, kind, fold), float64
        The means without each of the `FOLDS` folds, for the error of a contrast between layers, which share images; see
        `jackknife_error`. NaN where there are fewer images than folds.
    """

    value: np.ndarray
    error: np.ndarray
    without: np.ndarray


def of_layer(samples, prefix_tokens, *, count, floor=0.0, threads=1, block_bytes=BLOCK_BYTES // 2):
    """How alike the tokens of a layer are.

    Parameters
    ----------
    samples : array-like, (sample, token, feature)
        M images, of any float dtype; sliced along its first axis only.
    prefix_tokens : sequence of str
        Names of the tokens before the spatial ones.
    count : int
        N, the images of the study, of which these are the first. Errors are those of N images, but the error of CKA is
        that of the images it is from: the first 500 at most.
    floor : float or array, (token,)
        Variance that rounding alone makes, by feature. A token that does not vary more is left out, but not of cosines.
    threads : int
        Each multiplies pieces of its own.
    block_bytes : int
        Of the tokens, in float32, that CKA has in memory at a time. Each such block reads the first images again.

    Returns
    -------
    Similarity
        A vector of zeros has no cosine: it is left out of its image's mean.

    Raises
    ------
    StudyError
        If squares of activations are too large for float32.
    """
    with threadpool_limits(1):
        sums, cosines = _read(samples, prefix_tokens, floor, threads)
        found = {"cosine": _mean_over_images(cosines, count)}
        for measure, matrix in (("correlation", sums.pearson), ("centred", sums.centred)):
            value, without = _jackknifed(matrix, len(sums.counts), prefix_tokens)
            found[measure] = value, jackknife_error(without, len(cosines)) * np.sqrt(len(cosines) / count), without
        del sums, matrix
        kernels = _Kernels(samples, floor, threads, block_bytes)
        value, without = _jackknifed(kernels.cka, len(kernels.counts), prefix_tokens)
        found["cka"] = value, jackknife_error(without, len(cosines)), without
    value, error, without = zip(*(found[measure] for measure in MEASURES), strict=True)
    return Similarity(np.array(value), np.array(error), np.array(without))


def jackknife_error(without, images):
    """The standard error of a number, by leaving out one fold of the images at a time.

    Parameters
    ----------
    without : array, (..., fold)
        The number without each of the `FOLDS` folds.
    images : int
        In all folds together.

    Returns
    -------
    array, (...)
        NaN where there is but one fold, or where the number is not defined without one.
    """
    folds = min(FOLDS, images)
    if folds < 2:
        return np.full(without.shape[:-1], np.nan)
    return np.sqrt((folds - 1) * without[..., :folds].var(axis=-1))


def _jackknifed(matrix_of, folds, prefix_tokens):
    """Means over pairs, (kind,), and the same without each fold, (kind, fold).

    Parameters
    ----------
    matrix_of : callable
        From folds, an array of bool, (fold,), to a matrix (token, other_token).
    folds : int
    prefix_tokens : sequence of str
    """

    def means(kept):
        found = correlation.pair_means(matrix_of(kept), prefix_tokens)
        return np.array([found[kind] for kind in KINDS])

    value, without = means(np.ones(folds, bool)), np.full((len(KINDS), FOLDS), np.nan)
    if folds > 1:
        without[:, :folds] = np.transpose([means(kept) for kept in ~np.eye(folds, dtype=bool)])
    return value, without


def _mean_over_images(cosines, count):
    """The mean of values (sample, kind), its standard error for N images, (kind,), and it without each fold."""
    value, error = np.full((2, len(KINDS)), np.nan)
    without, fold = np.full((len(KINDS), FOLDS), np.nan), np.arange(len(cosines)) % FOLDS
    for kind, its in enumerate(cosines.T):
        defined = its[~np.isnan(its)]
        if len(defined):
            value[kind] = defined.mean()
        if len(defined) > 1:
            # Of N images, as many have a value as of these.
            error[kind] = defined.std(ddof=1) / np.sqrt(count * len(defined) / len(its))
        for left_out in range(min(FOLDS, len(its))):
            rest = its[(fold != left_out) & ~np.isnan(its)]
            without[kind, left_out] = rest.mean() if len(rest) else np.nan
    return value, error, without


class _FoldSums:
    """Sums over each fold about a common origin.

    Parameters
    ----------
    origin : array, (token, feature), float32
    folds : int
    floor : float or array, (token,)
    """

    def __init__(self, origin, folds, floor):
        tokens, features = origin.shape
        self.counts = np.zeros(folds, int)
        self._totals = np.zeros((folds, tokens, features))
        self._grams = np.zeros((folds, tokens, tokens))
        self._origin, self._floor = origin, floor

    def add(self, fold, count, total, gram):
        self.counts[fold] += count
        self._totals[fold] += total
        self._grams[fold] += gram

    def finite(self):
        return np.isfinite(self._grams).all()

    def pearson(self, kept):
        count, mean, gram, floor = self._moments(kept)
        return correlation.pearson(self._origin + mean, gram, count, floor=floor)

    def centred(self, kept):
        count, mean, gram, floor = self._moments(kept)
        return correlation.centred(gram, count, mean.shape[1], floor=floor)

    def _moments(self, kept):
        """Of some folds together: count, mean from the origin, Gram matrix about the mean, floor."""
        count, about_origin = self.counts[kept].sum(), self._grams[kept].sum(axis=0)
        mean = self._totals[kept].sum(axis=0) / count
        # A token may vary in one fold only.
        cancelled = CANCELLED * np.diag(about_origin) / (count * mean.shape[1])
        return count, mean, about_origin - count * (mean @ mean.T), np.maximum(self._floor, cancelled)


def _read(samples, prefix_tokens, floor, threads):
    """One pass over the images: `_FoldSums`, and mean cosines, (sample, kind)."""
    images, tokens, features = samples.shape
    folds, step = min(FOLDS, images), batch_rows(tokens, features)
    length = max(1, GRAM_LENGTH // features)
    # A token that is the same in every image is its own mean, exactly.
    first = np.asarray(samples[: min(32, images)]).astype(np.float64)
    origin = (first[0] + (first - first[0]).mean(axis=0)).astype(GRAM_PRODUCTS)
    sums, cosines = _FoldSums(origin, folds, floor), np.empty((images, len(KINDS)))

    def pieces():
        for start in range(0, images, step):
            batch = np.asarray(samples[start : start + step])
            for fold in range(folds):
                numbers = np.arange((fold - start) % folds, len(batch), folds)
                for low in range(0, len(numbers), length):
                    yield fold, start + numbers[low : low + length], batch, numbers[low : low + length]
            # Before the next batch is read, not after.
            del batch

    def add_up(piece):
        fold, numbers, batch, rows = piece
        about_origin = np.empty((tokens, len(rows), features), GRAM_PRODUCTS)
        its_cosines = np.empty((len(rows), len(KINDS)))
        # An image at a time: it stays in the processor's cache.
        for position, row in enumerate(rows):
            image = batch[row].astype(np.float32, copy=False)
            its_cosines[position] = _mean_cosines(image, prefix_tokens)
            np.subtract(image, origin, out=about_origin[:, position])
        flat = about_origin.reshape(tokens, -1)
        # Of a matrix with itself, numpy computes one triangle.
        return fold, numbers, its_cosines, about_origin.sum(axis=1), flat @ flat.T

    for fold, numbers, its_cosines, total, gram in in_order(add_up, pieces(), threads):
        cosines[numbers] = its_cosines
        sums.add(fold, len(numbers), total, gram)
    if not sums.finite():
        raise StudyError(f"squares of activations are beyond {np.dtype(GRAM_PRODUCTS)}: check the weights and images")
    return sums, cosines


def _mean_cosines(image, prefix_tokens):
    """Of one image (token, feature), the mean cosine of each kind of pair."""
    prefix = len(prefix_tokens)
    lengths = np.sqrt(np.einsum("td,td->t", image, image))
    there = lengths > 0
    weights = np.divide(1, lengths, out=np.zeros_like(lengths), where=there)
    spatial = (weights[prefix:] @ image[prefix:]).astype(np.float64)
    together = spatial + weights[:prefix] @ image[:prefix]
    size, spatial_size = np.count_nonzero(there), np.count_nonzero(there[prefix:])
    cls_spatial = np.nan
    if "cls" in prefix_tokens and spatial_size:
        cls = list(prefix_tokens).index("cls")
        if there[cls]:
            cls_spatial = weights[cls] * image[cls] @ spatial / spatial_size
    return _mean_of_pairs(together, size), _mean_of_pairs(spatial, spatial_size), cls_spatial


def _mean_of_pairs(total, size):
    return (total @ total - size) / (size * (size - 1)) if size > 1 else np.nan


class _Kernels:
    """Sums over the Gram matrices K of the images, one for each token, and over their blocks of two folds.

    Parameters
    ----------
    samples : array-like, (sample, token, feature)
    floor : float or array, (token,)
    threads, block_bytes
        As of `of_layer`.
    """

    def __init__(self, samples, floor, threads, block_bytes):
        images, tokens, features = min(samples.shape[0], CKA_IMAGES), *samples.shape[1:]
        number = np.arange(images) % FOLDS
        self.counts = np.bincount(number)
        self._varies = np.zeros(tokens, bool)
        # Σ_j K_ij over the images j of a fold. Images stand fold by fold.
        self._row_sums = np.empty((tokens, images, len(self.counts)))
        edges = np.concatenate([[0], np.cumsum(self.counts)])
        folds = [slice(*pair) for pair in pairwise(edges)]
        # Of K, which is symmetric, the blocks with f ≤ g, one behind the other.
        blocks = [(f, g) for f in range(len(self.counts)) for g in range(f, len(self.counts))]
        ends = np.cumsum([0, *(self.counts[f] * self.counts[g] for f, g in blocks)])
        kernels = np.empty((tokens, ends[-1]), GRAM_PRODUCTS)
        order, floor = np.argsort(number, kind="stable"), np.broadcast_to(np.maximum(floor, 0), tokens)
        member = (number[order, None] == np.arange(len(self.counts))).astype(GRAM_PRODUCTS)

        def of_token(values):
            # CKA does not depend on the origin, nor on the size.
            mean = values.mean(axis=0, dtype=np.float64)
            origin = mean.astype(GRAM_PRODUCTS)
            values = values[order] - origin
            variance = np.vdot(values, values) / values.size - np.square(mean - origin).mean()
            if variance > 0:
                values /= np.sqrt(variance)
            kernel = values @ values.T
            np.fill_diagonal(kernel, 0)
            upper = np.concatenate([kernel[folds[f], folds[g]].ravel() for f, g in blocks])
            return variance, kernel @ member, upper

        step = max(1, block_bytes // (4 * images * features))
        for start in range(0, tokens, step):
            block = by_token(samples, slice(start, min(start + step, tokens)), images)
            for token, found in enumerate(in_order(of_token, block, threads), start):
                variance, self._row_sums[token], kernels[token] = found
                self._varies[token] = variance > floor[token]
            del block
        # ⟨K_s, K_t⟩ over all entries, and over those in a fold's rows or columns.
        self._traces = np.zeros((tokens, tokens))
        self._touching = np.zeros((len(self.counts), tokens, tokens))

        def multiply(block):
            piece = kernels[:, ends[block] : ends[block + 1]]
            return piece @ piece.T

        for (f, g), product in zip(blocks, in_order(multiply, range(len(blocks)), threads), strict=True):
            for fold in {f, g}:
                self._touching[fold] += product if f == g else 2 * product
            self._traces += product if f == g else 2 * product

    def cka(self, kept):
        """Debiased CKA of every pair of tokens, (token, other_token), of all folds or all but one; NaN if undefined."""
        traces = self._traces - self._touching[~kept].sum(axis=0)
        images = self.counts[kept].sum()
        if images < 4:
            return np.full(traces.shape, np.nan)
        sums = self._row_sums[:, np.repeat(kept, self.counts)][:, :, kept].sum(axis=2)
        totals = sums.sum(axis=1)
        hsic = traces + np.outer(totals, totals) / ((images - 1) * (images - 2)) - 2 / (images - 2) * (sums @ sums.T)
        # A token may vary in one fold only, or in one image, which is as good as not at all.
        own = np.where(self._varies & (np.diag(hsic) > CANCELLED * np.diag(traces)), np.diag(hsic), np.nan)
        return hsic / np.sqrt(own[:, None] * own[None, :])
