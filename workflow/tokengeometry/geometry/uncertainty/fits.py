"""Standard error, bias in N, and curvature of power-law fits.

A fit is linear in the logarithms of the eigenvalues: α = −Σ c_j log λ_j with Σ c_j = 0. So image n moves α by ψ_n / N,
ψ_n = −Σ c_j (q_nj − 1), with the scores of `tokengeometry.geometry.uncertainty.spectra`; the standard error of α is
sd(ψ)/√N. Any contrast of α between tokens or layers is a contrast of their ψ, image by image, so that images which
tokens share are counted once.
"""

from dataclasses import dataclass

import numpy as np

from tokengeometry.geometry.statistics.power_law import WEIGHTS
from tokengeometry.geometry.uncertainty.bands import band_sums

# Of a normal number, in standard errors: 95 %.
INTERVAL = 1.959964

# How many numbers' influences are multiplied at a time.
ROWS = 1024

# The bias is corrected to first order, which is enough where there are so many images for the last fitted rank: by two
# folds, and by more.
IMAGES_A_RANK = {2: 20}
IMAGES_A_RANK_OF_MORE_FOLDS = 10


@dataclass(frozen=True)
class Coefficients:
    """How fits depend on log λ, one for each spectrum.

    Attributes
    ----------
    alpha : array, (..., rank)
        α is their sum with log λ_j: −c_j. 0 outside the range, and where nothing is resolved.
    curvature : array, (..., rank)
        The coefficient of (log j)² is their sum with log λ_j, in a fit of a parabola with the same weights.
    """

    alpha: np.ndarray
    curvature: np.ndarray


def coefficients(used, ranks, weights):
    """The coefficients of a weighted fit of log λ_j on log j.

    Parameters
    ----------
    used : array of bool, (..., rank)
        Which eigenvalues are fitted, within `ranks`.
    ranks : (int, int)
        First and last, from 1.
    weights : {"inverse_rank", "uniform"}

    Returns
    -------
    Coefficients
        NaN where fewer than two ranks are used; `curvature` also where fewer than three.
    """
    rank = np.arange(1, used.shape[-1] + 1.0)
    within = used & (rank >= ranks[0]) & (rank <= ranks[1])
    weight = np.where(within, WEIGHTS[weights](rank), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = _centred(np.broadcast_to(np.log(rank), weight.shape), weight)
        slope = weight * x / _sum(weight * x**2)
        # (log j)² without what a line explains of it.
        square = _centred(x**2, weight)
        square = square - x * _sum(slope * square)
        curvature = weight * square / _sum(weight * square**2)
    empty = np.full_like(slope, np.nan)
    count = within.sum(axis=-1, keepdims=True)
    return Coefficients(np.where(count > 1, -slope, empty), np.where(count > 2, curvature, empty))


def _sum(values):
    return values.sum(axis=-1, keepdims=True)


def _centred(values, weight):
    return values - _sum(weight * values) / _sum(weight)


def influence(folded, coefficients):
    """What an image does to a number that is linear in log λ: N times the change that its weight makes.

    Parameters
    ----------
    folded : tokengeometry.geometry.uncertainty.spectra.Folded
        With scores (..., sample, band).
    coefficients : array, (..., rank)
        Of log λ_j; 0 for ranks beyond the bands.

    Returns
    -------
    array, (..., sample), float64
        ψ, with mean 0 over the images; NaN where a coefficient is.

    Raises
    ------
    ValueError
        If there is a coefficient beyond the bands.
    """
    last = folded.edges[-1]
    if coefficients[..., last:].any():
        raise ValueError(f"there are scores up to rank {last} only")
    sums = band_sums(coefficients[..., :last], folded.edges).astype(np.float32)
    found = np.matmul(folded.scores.astype(np.float32), sums[..., None])[..., 0].astype(np.float64)
    return found - found.mean(axis=-1, keepdims=True)


def standard_error(influences, samples):
    """The standard error of what the influences are of.

    Parameters
    ----------
    influences : array, (..., sample)
        Of some of the images, or of all.
    samples : int
        N.

    Returns
    -------
    array, (...)
    """
    return influences.std(axis=-1) / np.sqrt(samples)


def simultaneous_quantile(influences, *, level=0.95, draws=1000, seed=0):
    """How many standard errors a band is wide that covers all of many numbers at once.

    Parameters
    ----------
    influences : array, (..., sample)
        As of `largest_z`.
    level : float
    draws, seed : int

    Returns
    -------
    float
        NaN where nothing is left.
    """
    largest = largest_z(influences, draws=draws, seed=seed)
    return float(np.quantile(largest, level)) if len(largest) else float("nan")


def largest_z(influences, *, draws=1000, seed=0):
    """The largest |z| of many numbers, as chance alone makes it.

    By the multiplier bootstrap (Chernozhukov, Chetverikov & Kato 2013): the images' influences get random signs and
    sizes, and the largest of all numbers' |z| is taken; numbers that move together cost little more than one.

    Parameters
    ----------
    influences : array, (..., sample)
        Of the same images; those that are NaN or 0 throughout are left out.
    draws, seed : int

    Returns
    -------
    array, (draw,)
        Empty where nothing is left.
    """
    rows = influences.reshape(-1, influences.shape[-1])
    deviation = rows.std(axis=1)
    defined = np.flatnonzero(deviation > 0)
    if not len(defined):
        return np.empty(0)
    multipliers = np.random.default_rng(seed).standard_normal((rows.shape[1], draws)).astype(np.float32)
    largest = np.zeros(draws, np.float32)
    for block in np.array_split(defined, -(-len(defined) // ROWS)):
        scaled = (rows[block] / deviation[block, None]).astype(np.float32)
        np.maximum(largest, np.abs(scaled @ multipliers).max(axis=0), out=largest)
    return largest / np.sqrt(rows.shape[1])


@dataclass(frozen=True)
class Estimate:
    """α of spectra with what makes it comparable; NaN where there is none.

    Attributes
    ----------
    alpha : array, (...)
        As fitted.
    corrected : array, (...)
        Less its bias in N.
    se : array, (...)
        The standard error of both.
    curvature, curvature_se : array, (...)
        The coefficient of (log j)² of a parabola, less its bias in N; and its standard error. 0 for a power law.
    influence : array, (..., sample)
        ψ of α, of the images of the scores.
    """

    alpha: np.ndarray
    corrected: np.ndarray
    se: np.ndarray
    curvature: np.ndarray
    curvature_se: np.ndarray
    influence: np.ndarray


def estimate(eigenvalues, used, samples, folded, folds, *, ranks, weights):
    """α with its standard error, and without its bias in N.

    The bias is b/N to first order. Held-out variances are off by −b·K/((K−1)N); so for the N images of the folds the
    corrected value is (K α + (K−1) α_held-out)/(2K−1). Where the folds are of M images only, b is theirs.

    Parameters
    ----------
    eigenvalues : array, (..., rank)
        Of the covariance of all N images.
    used : array of bool, (..., rank)
        Those that are resolved; the fit takes those of them within `ranks`.
    samples : int
        N.
    folded : tokengeometry.geometry.uncertainty.spectra.Folded
        Of M images.
    folds : int
        K.
    ranks, weights
        Of the configuration's `fit`.

    Returns
    -------
    Estimate
    """
    count = folded.scores.shape[-2]
    its = coefficients(used, ranks, weights)
    numbers, errors, influences = [], [], []
    for of_log in (its.alpha, its.curvature):
        plain = _combine(of_log, eigenvalues)
        bias = _combine(of_log, folded.eigenvalues) - _combine(of_log, folded.held_out)
        corrected = plain - bias * (folds - 1) / (2 * folds - 1) * count / samples
        influences.append(influence(folded, of_log))
        numbers.append((plain, corrected))
        errors.append(standard_error(influences[-1], samples))
    return Estimate(*numbers[0], errors[0], numbers[1][1], errors[1], influences[0])


def _combine(of_log, eigenvalues):
    """Σ c_j log λ_j over the ranks with c_j ≠ 0; NaN where one of their λ is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _combine_logs(of_log, np.log(eigenvalues))


def _combine_logs(of_log, logs):
    """As `_combine`."""
    length = min(of_log.shape[-1], logs.shape[-1])
    of_log = of_log[..., :length]
    logs = np.where(of_log == 0, 0.0, logs[..., :length])
    return np.where(np.isfinite(logs).all(axis=-1), (of_log * logs).sum(axis=-1), np.nan)


def doubt(images, folds, last):
    """Why an interval of α is not to be trusted, or nothing.

    On planted spectra (docs/method.md) intervals cover where there are enough images for the last rank.

    Parameters
    ----------
    images : int
        In the folds.
    folds : int
    last : int
        The last fitted rank.

    Returns
    -------
    str
    """
    times = IMAGES_A_RANK.get(folds, IMAGES_A_RANK_OF_MORE_FOLDS)
    return "" if images >= times * last else f"{images} images in folds are fewer than {times} times rank {last}"


def summed_influence(scores, sums):
    """What an image does to sums over tokens of numbers that are linear in log λ; see `influence`.

    Parameters
    ----------
    scores : array, (token, sample, band)
    sums : array, (number, token, band)
        Of the coefficients of log λ, as of `band_sums`.

    Returns
    -------
    array, (number, sample), float64
        ψ, with mean 0 over the images.
    """
    sums = sums.astype(np.float32)
    found = np.zeros((len(sums), scores.shape[-2]))
    # Token by token, so that no copy of all scores is made.
    for token in np.flatnonzero(sums.any(axis=(0, 2))):
        found += sums[:, token] @ scores[token].astype(np.float32).T
    return found - found.mean(axis=-1, keepdims=True)


def mean_estimates(eigenvalues, used, samples, folded, folds, means, *, weights, min_ranks):
    """Means of α, each over some tokens and by one range of ranks, as `estimate` has it of one token.

    Parameters
    ----------
    eigenvalues, used : array, (token, rank)
    samples, folded, folds
        As of `estimate`; `folded` has a leading axis of tokens, or is None: then there is no error.
    means : sequence of (array of bool (token,), (int, int))
        Over which tokens, and from which rank to which.
    weights
        As of `estimate`.
    min_ranks : int
        The fewest resolved ranks in a range that make a fit; no more than the range has.

    Returns
    -------
    list of (tokens, alpha, corrected, se)
        How many of the tokens have an α, and means over them; NaN where none has, or where there are no errors.
    """
    values = (eigenvalues,) if folded is None else (eigenvalues, folded.eigenvalues, folded.held_out)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(its) for its in values]
    counts, sums = np.zeros(len(means), int), np.full((3, len(means)), np.nan)
    bands = None if folded is None else np.zeros((len(means), len(used), len(folded.edges) - 1))
    for ranges in dict.fromkeys(ranges for _, ranges in means):
        first, last = ranges
        slopes = coefficients(used, ranges, weights).alpha
        enough = used[:, first - 1 : last].sum(axis=1) >= min(min_ranks, last - first + 1)
        for position, (inside, its) in enumerate(means):
            chosen = enough & inside
            if its != ranges or not chosen.any():
                continue
            counts[position] = chosen.sum()
            of_log = np.where(chosen[:, None], slopes, 0.0) / counts[position]
            sums[: len(logs), position] = [_combine_logs(of_log, each).sum() for each in logs]
            if folded is not None:
                bands[position] = band_sums(of_log[:, : folded.edges[-1]], folded.edges)
                if of_log[:, folded.edges[-1] :].any():
                    # There is nothing to correct with.
                    sums[1:, position] = np.nan
    alpha, whole, held_out = sums
    if folded is None:
        return [(count, each, np.nan, np.nan) for count, each in zip(counts, alpha, strict=True)]
    corrected = alpha - (whole - held_out) * ((folds - 1) / (2 * folds - 1) * folded.scores.shape[-2] / samples)
    errors = np.where(counts > 0, standard_error(summed_influence(folded.scores, bands), samples), np.nan)
    return list(zip(counts, alpha, corrected, errors, strict=True))
