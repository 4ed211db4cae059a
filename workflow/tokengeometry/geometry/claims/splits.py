"""The statement that the train and the test split have the same α."""

import numpy as np

from tokengeometry.geometry.claims.verdicts import ERROR, FAILS, HOLDS, UNTOLD, Interval, Verdict, near, with_doubt
from tokengeometry.geometry.uncertainty import fits

SAME = "The train and the test split have the same α"
DRAWS = 1000


def of_splits(train, test, margin):
    """Claim 9.

    Parameters
    ----------
    train, test : tokengeometry.geometry.claims.alphas.Alphas
        Of one model.
    margin : float
        What α may differ by and count as equal.

    Returns
    -------
    list of Verdict
    """
    both = np.isin(train.layers, test.layers), np.isin(test.layers, train.layers)
    (first, others), (second, _) = (_pick(its, which) for its, which in zip((train, test), both, strict=True))
    difference = first - second
    defined = np.isfinite(difference)
    layers = train.layers[both[0]]
    if not defined.any():
        return [Verdict("9", SAME, "none", UNTOLD, "no token has α on both splits")]
    if train.influence is None or test.influence is None:
        largest = np.nanmax(np.abs(difference))
        statistic = "largest difference of a token's α (train less test)"
        return [Verdict("9", SAME, statistic, UNTOLD, others, float(largest), reference=0.0)]
    moves = np.concatenate(
        [_scaled(its, which)[defined] for its, which in zip((train, test), both, strict=True)], axis=-1
    )
    errors = np.sqrt(np.square(moves, dtype=np.float64).sum(axis=-1))
    values = difference[defined]
    largest = np.sort(fits.largest_z(moves, draws=DRAWS))
    width = np.quantile(largest, 1 - ERROR) * errors
    z = np.abs(values) / errors
    p = (1 + DRAWS - np.searchsorted(largest, z)) / (1 + DRAWS)
    intervals = [Interval(*its) for its in zip(values, values - width, values + width, p, strict=True)]
    at = int(np.argmax(z))
    token, layer = (axis[at] for axis in np.nonzero(defined))
    verdict = near(intervals, 0, margin)
    outside = sum(abs(its.estimate) > margin and not its.low <= 0 <= its.high for its in intervals)
    differ = sum(not its.low <= 0 <= its.high for its in intervals)
    reach = max(max(abs(its.low), abs(its.high)) for its in intervals)
    why = {
        HOLDS: f"all {len(values)} intervals are within ± {margin:g}",
        FAILS: f"{outside} of {len(values)} differences are beyond {margin:g}, with intervals without 0",
        UNTOLD: f"the farthest interval reaches to {reach:.3f}, beyond {margin:g}, "
        f"and none of the {differ} differences with intervals without 0 is beyond {margin:g}",
    }[verdict]
    doubt = next((its for its in (_doubt(train, both[0], defined), _doubt(test, both[1], defined)) if its), "")
    name = train.tokens.name.iloc[token]
    statistic = (
        f"the largest difference of a token's corrected α (train less test) in standard errors: {name} at layer "
        f"{layers[layer]}; the interval is simultaneous over tokens and layers"
    )
    numbers = {key: float(value) for key, value in intervals[at].numbers.items()}
    return [Verdict("9", SAME, statistic, **with_doubt(verdict, why, doubt), **numbers, reference=0.0)]


def _pick(alphas, layers):
    doubts = alphas.doubts[:, layers].ravel()
    return alphas.corrected[:, layers], next((its for its in doubts if its), "")


def _scaled(alphas, layers):
    """Influences whose squares add up to the square of the standard error, (token, layer, image)."""
    its = alphas.influence[:, layers]
    return its / np.float32(np.sqrt(alphas.samples * its.shape[-1]))


def _doubt(alphas, layers, defined):
    return next((its for its in alphas.doubts[:, layers][defined] if its), "")
