"""Of the images of a layer: each one's part in every eigenvalue, and the variances of held-out images.

For a covariance with eigenvalues λ_j and eigenvectors v_j, an image's *score* is q_nj = (v_jᵀ(x_n − μ))² / λ_j, whose
mean over the images is 1. To first order the image moves log λ_j by (q_nj − 1) / N: its influence (infinitesimal
jackknife; Efron 1982).

The images are dealt into K folds, every K-th into one. With the eigenvectors v_j^(−f) of the images outside fold f and
the covariance C_f of the fold, the *held-out variance* is the mean over the folds of v_j^(−f)ᵀ C_f v_j^(−f). Where the
eigenvalues of N images are too steep by their bias, held-out variances are too flat by K/(K − 1) times as much:
eigenvectors lean towards noise by what eigenvalues gain from it.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from tokengeometry.geometry.eigensolver import eigh
from tokengeometry.geometry.noise_floor import solver_floor
from tokengeometry.geometry.uncertainty.bands import band_means, rank_bands
from tokengeometry.geometry.uncertainty.by_token import by_token
from tokengeometry.operations.worker_threads import in_order
from tokengeometry.storage.chunk_sizes import BLOCK_BYTES

# Squares over an eigenvalue: between 0 and N.
SCORES = np.float16
# The solver's error in float32 is little beside the sampling error for eigenvalues above this part of the largest.
CLEAR = 1e-4
# Products in float32 have a smaller error: it is little as long as all eigenvalues are above this part of the trace.
STEEP = 5e-7


@dataclass(frozen=True)
class Folded:
    """A covariance of M images, and those of its folds.

    Attributes
    ----------
    eigenvalues : array, (..., rank), float64, descending
        Of all M images.
    held_out : array, (..., rank), float64
        Variances of held-out images, by rank; 0 where the images outside a fold have none.
    scores : array, (..., sample, band), float16
        Means of q over the ranks of a band; see `tokengeometry.geometry.uncertainty.bands`. 1 where nothing is
        resolved.
    edges : array of int, (band + 1,)
        Band b has the ranks edges[b] + 1 … edges[b + 1], which count from 1.
    """

    eigenvalues: np.ndarray
    held_out: np.ndarray
    scores: np.ndarray
    edges: np.ndarray

    def of(self, tokens):
        """The same of some tokens.

        Parameters
        ----------
        tokens : array of bool or int, (token,); or None
            None gives one spectrum a leading axis of one.

        Returns
        -------
        Folded
        """
        return Folded(self.eigenvalues[tokens], self.held_out[tokens], self.scores[tokens], self.edges)


class _Scatters:
    """The scatters of the folds about a common origin, and the sums."""

    def __init__(self, folds, features):
        self.counts = np.zeros(folds)
        self.sums = np.zeros((folds, features))
        self.products = np.zeros((folds, features, features))

    def add(self, fold, values):
        """Take in vectors (vector, feature) about the origin; they are multiplied in their dtype."""
        self.counts[fold] += len(values)
        self.sums[fold] += values.sum(axis=0, dtype=np.float64)
        self.products[fold] += values.T @ values

    def add_about(self, others, step):
        """Take in what others have summed about an origin that lies `step` from this one, (feature,)."""
        for fold, (count, total) in enumerate(zip(others.counts, others.sums, strict=True)):
            shift = np.outer(total + count / 2 * step, step)
            self.products[fold] += others.products[fold] + shift + shift.T
            self.sums[fold] += total + count * step
            self.counts[fold] += count

    def of(self, folds):
        """The covariance of some of the folds together, about their own mean."""
        count, total = self.counts[folds].sum(), self.sums[folds].sum(axis=0)
        return (self.products[folds].sum(axis=0) - np.outer(total, total) / count) / count

    def steep(self):
        """Whether float32 would not tell all eigenvalues from 0."""
        covariance = self.of(slice(None))
        covariance[np.diag_indices_from(covariance)] -= STEEP * covariance.trace()
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return True
        return False

    def held_out(self, dtype=np.float64):
        """Held-out variances, (rank,), with eigenvectors and products in a dtype."""
        folds = np.arange(len(self.counts))
        found = np.zeros(self.sums.shape[1])
        for fold in folds:
            others = folds[folds != fold]
            values, vectors = _eigensystem(self.of(others), dtype)
            its = np.einsum("ij,ij->j", self.of([fold]).astype(vectors.dtype) @ vectors, vectors)
            # Where the others have no variance, any vectors would do.
            found += np.where(_resolved(values, self.counts[others].sum()), its, np.nan)
        return np.nan_to_num(found, nan=0.0) / len(folds)

    def mean(self):
        return self.sums.sum(axis=0) / self.counts.sum()


def _eigensystem(covariance, dtype=np.float64):
    """Eigenvalues (rank,), descending, and eigenvectors (feature, rank) of a covariance, in a dtype.

    Rounding mixes eigenvectors far below the largest eigenvalue: in float32 they are solved for again, in their own
    space. Where that is not enough, the result is in float64.
    """
    rounded = covariance.astype(dtype, copy=False)
    values, vectors = eigh(rounded)
    values, vectors = values[::-1], vectors[:, ::-1]
    low = slice(np.count_nonzero(values > CLEAR * values[0]), None)
    if dtype == np.float64 or not len(values[low]):
        return values, vectors
    space = vectors[:, low]
    again, within = eigh(space.T @ (rounded @ space))
    if again[0] < STEEP * values[0]:
        return _eigensystem(covariance)
    values[low], vectors[:, low] = again[::-1], space @ within[:, ::-1]
    return values, vectors


def _resolved(values, count):
    """Which eigenvalues of a covariance of so many vectors are more than the solver's error."""
    return (values > solver_floor(values[0], len(values))) & (np.arange(1, len(values) + 1) < count)


def _inverse(values, size):
    """1/λ; 0 where λ is no more than the solver's error."""
    return np.where(values > solver_floor(values[0], size), 1 / np.where(values > 0, values, 1), 0.0)


def _scores(centred, vectors, inverse, edges):
    """Scores (sample, band), float64, of vectors (sample, feature), float32, about their mean: a few digits do."""
    ranks = vectors.shape[1]
    found = np.ones((len(centred), len(inverse)), np.float32)
    np.matmul(centred, (vectors * np.sqrt(inverse[:ranks])).astype(np.float32), out=found[:, :ranks])
    return _banded(np.square(found, out=found), inverse, edges)


def _banded(scores, inverse, edges):
    """Means over bands of scores (sample, rank), which are set to 1 where λ is not resolved."""
    scores[:, inverse == 0] = 1
    return band_means(scores, edges)


def of_vectors(values, folds):
    """Of one token, or of any vectors of which each is an image's.

    Parameters
    ----------
    values : array, (sample, feature), of any float dtype
        Image n is in fold n mod `folds`. Float64 is computed in float64, others in float32 unless the spectrum is too
        steep for that: α changes by less than 1 % of its standard error.
    folds : int
        K, at least 2.

    Returns
    -------
    Folded
        With arrays (rank,), (rank,) and (sample, band).
    """
    return _of_vectors(values, folds)[0]


def _of_vectors(values, folds):
    """The same, with the scatters and the mean about which they are."""
    count, features = values.shape
    # Twice where float32 does not do; fewer images than features leave eigenvalues that are 0.
    dtypes = [np.result_type(values, np.float32)] * (count > features) + [np.dtype(np.float64)]
    for dtype in dict.fromkeys(dtypes):
        origin = values.mean(axis=0, dtype=np.float64).astype(dtype)
        centred = values.astype(dtype, copy=False) - origin
        scatters = _dealt(centred, folds)
        if dtype == np.float64 or not scatters.steep():
            break
    within = scatters
    if count <= features:
        centred = _in_their_space(centred)
        within = _dealt(centred, folds)
    eigenvalues, vectors = _eigensystem(within.of(slice(None)), dtype)
    edges = rank_bands(features)
    inverse = _padded(_inverse(eigenvalues, features), features)
    scores = _scores(centred.astype(np.float32, copy=False), vectors, inverse, edges).astype(SCORES)
    spectra = (_padded(its, features) for its in (eigenvalues, within.held_out(dtype)))
    return Folded(*spectra, scores, edges), scatters, origin


def _dealt(centred, folds):
    scatters = _Scatters(folds, centred.shape[1])
    for fold in range(folds):
        scatters.add(fold, centred[fold::folds])
    return scatters


def _in_their_space(vectors):
    """Coordinates (sample, sample) of fewer vectors (sample, feature) than features, in the space that they span."""
    squares, directions = eigh(vectors @ vectors.T)
    return directions * np.sqrt(np.maximum(squares, 0))


def _padded(values, ranks):
    """Of the ranks that there are, and 0 of the others."""
    return np.pad(values, (0, ranks - len(values)))


def of_layer(samples, folds, *, threads=1, block_bytes=BLOCK_BYTES):
    """Of every token of a layer, of the averaged token, and of all tokens pooled.

    Of the pooled tokens, an image's score is the mean over its tokens: images are independent, tokens are not.

    Parameters
    ----------
    samples : array-like, (sample, token, feature)
        Sliced along its first axis only; in the order of the folds, see `of_vectors`.
    folds : int
    threads : int
        Each takes tokens of its own.
    block_bytes : int
        Of the tokens that are in memory at a time, in float32.

    Returns
    -------
    dict of str to Folded
        "token" with a leading axis of tokens, "averaged" and "pooled" without.
    """
    count, tokens, features = samples.shape
    edges = rank_bands(features)
    step = max(1, block_bytes // (4 * count * features))
    blocks = [slice(start, min(start + step, tokens)) for start in range(0, tokens, step)]
    found = Folded(
        np.empty((tokens, features)),
        np.empty((tokens, features)),
        np.empty((tokens, count, len(edges) - 1), SCORES),
        edges,
    )
    average, pooled, origin = np.zeros((count, features)), _Scatters(folds, features), None
    with threadpool_limits(1):
        for block in blocks:
            values = by_token(samples, block, count)
            if origin is None:
                origin = values.mean(axis=(0, 1), dtype=np.float64)
            average += values.sum(axis=0, dtype=np.float64) / tokens
            results = in_order(lambda of: _of_vectors(of, folds), values, threads)
            for index, (its, scatters, mean) in enumerate(results, block.start):
                found.eigenvalues[index], found.held_out[index] = its.eigenvalues, its.held_out
                found.scores[index] = its.scores
                pooled.add_about(scatters, mean - origin)
        eigenvalues, vectors = _eigensystem(pooled.of(slice(None)))
        mean, inverse = (pooled.mean() + origin).astype(np.float32), _inverse(eigenvalues, features)
        together = np.zeros((count, len(edges) - 1))
        for block in blocks:
            if len(blocks) > 1:
                values = by_token(samples, block, count)

            def of_token(its):
                return _scores((its - mean).astype(np.float32, copy=False), vectors, inverse, edges)

            for part in in_order(of_token, values, threads):
                together += part / tokens
        return {
            "token": found,
            "averaged": of_vectors(average, folds),
            "pooled": Folded(eigenvalues, pooled.held_out(), together.astype(SCORES), edges),
        }


def of_gram(gram, values, vectors, folds):
    """Of all tokens concatenated, from the Gram matrix of the samples.

    The images' scores are N u²_nj with the eigenvectors u of the Gram matrix. Held-out variances need its blocks only:
    the eigenvectors of the images outside a fold are combinations of those images.

    Parameters
    ----------
    gram : array, (sample, sample), float64
        About the mean.
    values : array, (rank,), float64, descending
        Its eigenvalues.
    vectors : array, (sample, rank), float64
        Its eigenvectors.
    folds : int

    Returns
    -------
    Folded
        With arrays (rank,), (rank,) and (sample, band), of N − 1 ranks, or of as many as a fold's complement leaves.
    """
    count = len(gram)
    number = np.arange(count) % folds
    smallest = count - np.bincount(number).max()
    ranks = min(smallest, count) - 1
    edges = rank_bands(ranks)
    values, vectors = values[:ranks], vectors[:, :ranks]
    inverse = _inverse(values, count)
    scores = _banded(count * np.square(vectors), inverse, edges).astype(SCORES)
    held_out = np.zeros(ranks)
    for fold in range(folds):
        inside, outside = number == fold, number != fold
        its, vectors = _eigensystem(_centred(gram[np.ix_(outside, outside)]))
        its, vectors = its[:ranks], vectors[:, :ranks]
        cross = gram[np.ix_(inside, outside)] @ vectors
        cross -= cross.mean(axis=0)
        held_out += np.square(cross).mean(axis=0) * _inverse(its, count) / folds
    return Folded(values / count, held_out, scores, edges)


def _centred(gram):
    mean = gram.mean(axis=0)
    return gram - mean[:, None] - mean[None, :] + mean.mean()
