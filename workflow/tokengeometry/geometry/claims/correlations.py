"""Statements on the correlation of tokens over the layers."""

import numpy as np

from tokengeometry.geometry.claims.verdicts import (
    FAILS,
    HOLDS,
    UNTOLD,
    Verdict,
    above,
    with_doubt,
    with_error,
)

# Measures that `correlation.csv` may have, in words, and the letters of their two claims.
MEASURES = {
    "mean": ("The mean correlation of tokens", "ab"),
    "centred_mean": ("The mean correlation of tokens about their mean image", "cd"),
    "cka_mean": ("The mean CKA of tokens", "ef"),
    "cosine_mean": ("The mean cosine of tokens", "gh"),
}
ERRORS_ADDED = "errors of layers count as independent"


def of_measures(table, doubt=""):
    """Claim 8, of every measure that the table has.

    Parameters
    ----------
    table : pandas.DataFrame
        `layer`, some of `MEASURES`, and perhaps their standard errors with `_se` at the end.
    doubt : str
        Why there are no errors, or nothing.

    Returns
    -------
    list of Verdict
    """
    table = table[table.layer >= 1].sort_values("layer")
    found = []
    for measure, (words, (rise, valley)) in MEASURES.items():
        if measure not in table:
            continue
        its = table[table[measure].notna()]
        layers, values = its.layer.to_numpy(int), its[measure].to_numpy(float)
        errors = its[f"{measure}_se"].to_numpy(float) if f"{measure}_se" in its else np.full(len(its), np.nan)
        missing = "" if np.isfinite(errors).all() else f"correlation.csv has no standard error of {measure}"
        if not len(its):
            missing = f"correlation.csv has no {measure}"
        for claim, statement, judge in (
            (f"8{rise}", f"{words} rises from layer 1 to layer 2", _rises),
            (f"8{valley}", f"{words} is U-shaped from layer 2 on", _is_u),
        ):
            found.append(judge(claim, statement, measure, layers, values, errors, doubt or missing))
    return found


def _rises(claim, statement, measure, layers, values, errors, doubt):
    if not {1, 2} <= set(layers):
        return Verdict(claim, statement, "none", UNTOLD, doubt or "the study has no layers 1 and 2")
    first, second = (int(np.flatnonzero(layers == layer)[0]) for layer in (1, 2))
    its = with_error(values[second] - values[first], np.hypot(errors[first], errors[second]))
    why = f"{values[first]:.3f} at layer 1, {values[second]:.3f} at layer 2"
    statistic = f"{measure} at layer 2 less that at layer 1; {ERRORS_ADDED}"
    return Verdict(claim, statement, statistic, **with_doubt(above(its), why, doubt), **its.numbers, reference=0.0)


def _is_u(claim, statement, measure, layers, values, errors, doubt):
    later = layers >= 2
    layers, values, errors = layers[later], values[later], errors[later]
    if len(layers) < 3:
        return Verdict(claim, statement, "none", UNTOLD, doubt or "the study has too few layers from 2 on")
    bottom = int(np.clip(np.argmin(values), 1, len(layers) - 2))
    times = 2 * (len(layers) - 2)
    fall, rise = (
        with_error(sign * slope, error, times)
        for sign, (slope, error) in zip((-1, 1), two_lines(layers, values, errors, bottom), strict=True)
    )
    verdicts = {above(fall), above(rise)}
    verdict = HOLDS if verdicts == {HOLDS} else FAILS if FAILS in verdicts else UNTOLD
    least = min(fall, rise, key=lambda one: one.estimate)
    why = f"slope {-fall.estimate:+.4f} a layer up to layer {layers[bottom]}, {rise.estimate:+.4f} from there on"
    statistic = (
        f"{measure}: the lesser of the fall before its minimum and the rise after it, a layer (two lines); "
        f"simultaneous over {len(layers) - 2} places of the minimum; {ERRORS_ADDED}"
    )
    return Verdict(claim, statement, statistic, **with_doubt(verdict, why, doubt), **least.numbers, reference=0.0)


def two_lines(layers, values, errors, bottom):
    """Slopes of a line up to a layer and of one from it on (Simonsohn 2018), with their standard errors.

    Parameters
    ----------
    layers, values, errors : array, (layer,)
        Without finite errors, layers weigh the same and slopes have none.
    bottom : int
        The position that is in both.

    Returns
    -------
    list of (slope, error)
    """
    found = []
    for part in (slice(None, bottom + 1), slice(bottom, None)):
        x, y, error = (array[part].astype(float) for array in (layers, values, errors))
        known = np.isfinite(error).all() and (error > 0).all()
        weight = 1 / error**2 if known else np.ones(len(x))
        x = x - np.average(x, weights=weight)
        spread = (weight * x**2).sum()
        found.append(((weight * x * y).sum() / spread, spread**-0.5 if known else np.nan))
    return found
