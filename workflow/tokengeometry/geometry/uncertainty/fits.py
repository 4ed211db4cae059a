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
