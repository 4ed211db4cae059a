"""The exponent α of a spectrum that decays as λ_j ∝ j^(−α).

Least squares of log λ_j on log j, weighted by 1/j so that every octave of ranks counts alike (Stringer,
Pachitariu, Steinmetz, Carandini & Harris 2019).
"""

from dataclasses import dataclass

import numpy as np

from tokengeometry.geometry.statistics._resolved import resolved

NAME = "α"
LABEL = "Power-law exponent α"
SETTINGS = "fit"
TABLE = "alpha"

WEIGHTS = {"inverse_rank": lambda ranks: 1 / ranks, "uniform": np.ones_like}


@dataclass(frozen=True)
class PowerLaw:
    """Fits λ_j ≈ exp(log_amplitude) · j^(−alpha), one for each spectrum; NaN where there is none.

    Attributes
    ----------
    alpha : array, (...)
        α, positive for a decaying spectrum.
    r2 : array, (...)
        The weighted coefficient of determination.
    r2_resolved : array, (...)
        The same of all resolved ranks from the first of the range on, beyond its last. Negative where their mean says
        more than the fit.
    log_amplitude : array, (...)
        The natural logarithm of the fitted λ₁.
    ranks : array of int, (...)
        How many ranks the fit used.
    within : array of int, (...)
        How many ranks of the range are resolved.
    resolved : array of int, (...)
        How many eigenvalues are.
    """

    alpha: np.ndarray
    r2: np.ndarray
    r2_resolved: np.ndarray
    log_amplitude: np.ndarray
    ranks: np.ndarray
    within: np.ndarray
    resolved: np.ndarray


def fit_power_law(eigenvalues, ranks, *, floor=0.0, samples=None, min_ranks=3, weights="inverse_rank"):
    """Fit a power law to spectra over a range of ranks.

    Parameters
    ----------
    eigenvalues : array, (..., rank), float64
        In descending order.
    ranks : (int, int)
        First and last rank of the fit, 1-based, both included.
    floor : float or array, (..., rank)
        Eigenvalues not above it are noise and never fitted. Their place among the ranks stays empty: noise of one
        direction leaves the ranks behind it as they are.
    samples : int, optional
        N; ranks beyond N − 1 are empty by centring and never fitted.
    min_ranks : int
        The fewest resolved ranks within the range that make a fit.
    weights : {"inverse_rank", "uniform"}

    Returns
    -------
    PowerLaw

    Raises
    ------
    ValueError
        If the range is not 1 ≤ first < last ≤ number of eigenvalues.
    """
    eigenvalues = np.asarray(eigenvalues, dtype=np.float64)
    first, last = ranks
    if not 1 <= first < last <= eigenvalues.shape[-1]:
        raise ValueError(f"ranks {first}…{last} are not within 1…{eigenvalues.shape[-1]}")
    data = resolved(eigenvalues, floor, samples)
    later = data[..., first - 1 :]
    used = later[..., : last - first + 1]
    within = used.sum(axis=-1)
    enough = within >= max(2, min_ranks)

    rank = np.arange(first, eigenvalues.shape[-1] + 1, dtype=np.float64)
    every = np.where(later, WEIGHTS[weights](rank), 0.0)
    x_every = np.log(rank)
    y_every = np.log(np.where(later, eigenvalues[..., first - 1 :], 1.0))
    weight, x, y = (its[..., : last - first + 1] for its in (every, x_every, y_every))
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weight.sum(axis=-1)
        x_mean = (weight * x).sum(axis=-1) / total
        y_mean = (weight * y).sum(axis=-1) / total
        x_centred = x - x_mean[..., None]
        y_centred = y - y_mean[..., None]
        slope = (weight * x_centred * y_centred).sum(axis=-1) / (weight * x_centred**2).sum(axis=-1)
        intercept = y_mean - slope * x_mean
        r2, r2_resolved = (
            _determination(*its, slope[..., None], intercept[..., None])
            for its in ((weight, x, y), (every, x_every, y_every))
        )
    empty = np.full_like(slope, np.nan)
    return PowerLaw(
        np.where(enough, -slope, empty),
        np.where(enough, r2, empty),
        np.where(enough, r2_resolved, empty),
        np.where(enough, intercept, empty),
        np.where(enough, within, 0),
        within,
        data.sum(axis=-1),
    )


def _determination(weight, x, y, slope, intercept):
    """The weighted coefficient of determination of a line."""
    mean = (weight * y).sum(axis=-1, keepdims=True) / weight.sum(axis=-1, keepdims=True)
    residual = (weight * (y - intercept - slope * x) ** 2).sum(axis=-1)
    return 1 - residual / (weight * (y - mean) ** 2).sum(axis=-1)


def of_spectrum(eigenvalues, floor, samples, *, ranks, min_ranks, weights):
    """α as a statistic; see `fit_power_law`.

    Parameters
    ----------
    eigenvalues : array, (..., rank), float64
    floor : array, broadcast to `eigenvalues`
    samples : int
    ranks, min_ranks, weights
        Of the configuration's `fit`.

    Returns
    -------
    dict
        alpha, r2, r2_resolved : array, (...), as of `PowerLaw`; ranks : array of int, (...), that the fit used;
        reason : array of str, (...): "constant", or how many of the ranks are resolved.
    """
    law = fit_power_law(eigenvalues, ranks, floor=floor, samples=samples, min_ranks=min_ranks, weights=weights)
    few = np.char.add(np.asarray(law.within).astype(str), f" resolved ranks in {ranks[0]}-{ranks[1]}")
    reason = np.where(np.isnan(law.alpha), np.where(law.resolved == 0, "constant", few), "")
    return {
        "alpha": law.alpha,
        "r2": law.r2,
        "r2_resolved": law.r2_resolved,
        "ranks": law.ranks,
        "reason": reason,
    }
