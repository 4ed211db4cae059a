"""What is said of a statement, and how an interval or a null decides it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

from tokengeometry.geometry.uncertainty import fits

HOLDS, FAILS, UNTOLD = "holds", "does not hold", "can't be told here"
NAN = float("nan")
# An error of the first kind, in a row; nothing is corrected for the number of rows.
ERROR = 0.05


@dataclass(frozen=True)
class Verdict:
    """A row of the table of claims.

    Attributes
    ----------
    claim : str
        Number and letter.
    statement : str
        Of the paper.
    statistic : str
        What was computed.
    verdict : str
        `HOLDS`, `FAILS` or `UNTOLD`.
    why : str
    estimate, low, high : float
        Of the statistic, and its 95 % interval over images.
    p : float
        Of the estimate if it were `reference`, or drawn from the null.
    reference : float
        What the estimate is compared with: a number, or the null's quantile at the error of 5 %.
    """

    claim: str
    statement: str
    statistic: str
    verdict: str
    why: str
    estimate: float = NAN
    low: float = NAN
    high: float = NAN
    p: float = NAN
    reference: float = NAN


@dataclass(frozen=True)
class Interval:
    """A number with its interval; NaN where there is none.

    Attributes
    ----------
    estimate, low, high, p : float
        p is two-sided, of 0.
    """

    estimate: float
    low: float = NAN
    high: float = NAN
    p: float = NAN

    @property
    def numbers(self):
        """The columns of these names."""
        return vars(self)


def interval(value, influence, samples):
    """A number with its interval.

    Parameters
    ----------
    value : float
    influence : array, (image,), or None
        ψ; see `tokengeometry.geometry.uncertainty.fits`.
    samples : int
        N.

    Returns
    -------
    Interval
    """
    if influence is None:
        return Interval(float(value))
    return with_error(value, float(fits.standard_error(influence, samples)))


def with_error(value, error, times=1, freedom=np.inf):
    """A number with Student's interval, simultaneous for `times` of them (Bonferroni).

    Parameters
    ----------
    value, error : float
    times : int
    freedom : int
        Degrees of freedom of the error; the interval is normal without.

    Returns
    -------
    Interval
    """
    if not error > 0:
        return Interval(float(value))
    law = t(freedom)
    width = law.isf(ERROR / 2 / times) * error
    p = min(1.0, times * 2 * law.sf(abs(value) / error))
    return Interval(float(value), float(value - width), float(value + width), float(p))


def simultaneous(values, influences, samples, *, draws=1000):
    """Numbers with intervals that cover all of them at once, so that any of them may be picked by its value.

    Parameters
    ----------
    values : array, (number,)
    influences : array, (number, image), or None
    samples : int
    draws : int
        Of the multiplier bootstrap; p is 1/(draws + 1) at least.

    Returns
    -------
    list of Interval
    """
    if influences is None:
        return [Interval(float(value)) for value in values]
    if len(values) == 1:
        return [interval(values[0], influences[0], samples)]
    largest = np.sort(fits.largest_z(influences, draws=draws))
    if not len(largest):
        return [Interval(float(value)) for value in values]
    errors = fits.standard_error(influences, samples)
    width = np.quantile(largest, 1 - ERROR) * errors
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = draws - np.searchsorted(largest, np.abs(values) / errors)
    p = (1 + beyond) / (1 + draws)
    return [Interval(*map(float, its)) for its in zip(values, values - width, values + width, p, strict=True)]


def above(its, reference=0.0):
    """Whether a number is above another one.

    Parameters
    ----------
    its : Interval
    reference : float

    Returns
    -------
    str
    """
    if its.low > reference:
        return HOLDS
    return FAILS if its.high < reference else UNTOLD


def near(intervals, reference, margin):
    """Whether all of some numbers are as good as another one.

    Parameters
    ----------
    intervals : list of Interval
        Simultaneous, where there are several.
    reference, margin : float
        What differs by no more than the margin is as good as equal.

    Returns
    -------
    str
        `HOLDS` where all intervals are within the margin; `FAILS` where some number is outside of it, and the
        reference outside its interval.
    """
    if all(reference - margin <= its.low and its.high <= reference + margin for its in intervals):
        return HOLDS
    differs = any(
        abs(its.estimate - reference) > margin and not its.low <= reference <= its.high
        for its in intervals
        if np.isfinite(its.low)
    )
    return FAILS if differs else UNTOLD


def against(estimate, null):
    """A statistic beside what a null makes of it.

    Parameters
    ----------
    estimate : float
    null : array, (draw,)
        NaN is left out.

    Returns
    -------
    p, reference : float
        One-sided, (1 + draws beyond) / (1 + draws); and the null's quantile that is to be passed.
    """
    null = np.asarray(null, float)
    null = null[np.isfinite(null)]
    if not len(null) or not np.isfinite(estimate):
        return NAN, NAN
    beyond = (null >= estimate - 1e-12).sum()
    return float((1 + beyond) / (1 + len(null))), float(np.quantile(null, 1 - ERROR))


def beyond_null(p, least):
    """The verdict on a statistic that is to be beyond its null.

    Parameters
    ----------
    p : float
    least : float
        The smallest p that there can be.

    Returns
    -------
    str
    """
    if not (least <= ERROR and np.isfinite(p)):
        return UNTOLD
    return HOLDS if p <= ERROR else FAILS


def with_doubt(verdict, why, doubt):
    """A verdict with its reason, unless there is a doubt about its interval.

    Parameters
    ----------
    verdict, why : str
    doubt : str
        Why the interval is not to be trusted, or nothing.

    Returns
    -------
    dict of str
        Of `verdict` and `why`.
    """
    return dict(verdict=UNTOLD, why=doubt) if doubt else dict(verdict=verdict, why=why)


def in_rows(verdicts, control=None):
    """Verdicts as the table has them.

    Parameters
    ----------
    verdicts : list of Verdict
    control : pandas.DataFrame, optional
        The table of the same statements on another model, such as the same one with random weights.

    Returns
    -------
    pandas.DataFrame
        Columns claim, statement, statistic, estimate, low, high, p, reference, control (the control's estimate),
        verdict, why.
    """
    columns = ["claim", "statement", "statistic", "estimate", "low", "high", "p", "reference", "verdict", "why"]
    table = pd.DataFrame([vars(verdict) for verdict in verdicts], columns=columns)
    estimates = {} if control is None else dict(zip(control.claim, control.estimate, strict=True))
    table.insert(columns.index("verdict"), "control", table.claim.map(estimates).astype(float))
    return table
