"""Statements on α over the layers: of the spatial tokens, and of CLS."""

import numpy as np

from tokengeometry.geometry.claims.alphas import NO_FOLDS
from tokengeometry.geometry.claims.verdicts import (
    FAILS,
    HOLDS,
    UNTOLD,
    Verdict,
    above,
    interval,
    near,
    simultaneous,
    with_doubt,
)
from tokengeometry.geometry.uncertainty.bands import LEADING

FALLS = "The spatial tokens' α falls from layer 1 to its minimum"
RISES = "α of the spatial tokens has its minimum before the last layer, and rises after it"
# Measure, statement, what it is in words, and the sign of its change where dimensions are lost.
DIMENSIONS = (
    (
        "participation_ratio",
        "After the minimum of α the spatial tokens lose dimensions, by their participation ratio too",
        "mean participation ratio",
        -1,
    ),
    (
        "leading_share",
        f"After the minimum of α the spatial tokens lose dimensions, by the variance of ranks 1 to {LEADING} too",
        f"mean share of the variance in ranks 1 to {LEADING}",
        1,
    ),
)
ONE = "α of the spatial tokens is near 1 at the last layer"
CLS_BEGINS = "CLS begins with more dimensions (a lower α) than the spatial tokens"
CLS_DIPS = "CLS loses dimensions (its α rises) from layer 1 to about layer 2"
CLS_RISES = "From then on CLS gains dimensions (its α falls)"
NO_CLS = "the model has no CLS token with α at these layers"
FEW_LAYERS = "the study has too few layers with α"
# About layer 2.
DIP = (2, 3)


def of_spatial(alphas, margin):
    """Claims 1 to 3, of the mean over the spatial tokens.

    Parameters
    ----------
    alphas : tokengeometry.geometry.claims.alphas.Alphas
    margin : float
        What α may differ by and count as equal.

    Returns
    -------
    list of Verdict
    """
    tokens, layers = alphas.spatial()
    if len(layers) < 3 or not len(tokens):
        return [
            Verdict(claim, statement, "none", UNTOLD, FEW_LAYERS)
            for claim, statement in (("1", FALLS), ("2a", RISES), ("3", ONE))
        ]
    values, influence = alphas.mean(tokens, layers)
    numbers, doubt, samples = alphas.layers[layers], alphas.doubt(tokens, layers), alphas.samples
    found = []
    for claim, statement, end, others in (
        ("1", FALLS, 0, np.arange(1, len(layers))),
        ("2a", RISES, len(layers) - 1, np.arange(len(layers) - 1)),
    ):
        its, where = _above_lowest(values, influence, samples, end, others)
        verdict = above(its)
        why = f"{_of(values[end])} at layer {numbers[end]}, {_of(values[where])} at layer {numbers[where]}"
        statistic = (
            f"mean corrected α at layer {numbers[end]} less that at layer {numbers[where]}, the lowest of the others; "
            "the interval is simultaneous over the layers"
        )
        found.append(
            Verdict(claim, statement, statistic, **with_doubt(verdict, why, doubt), **its.numbers, reference=0.0)
        )
    last = None if influence is None else influence[-1]
    its = interval(values[-1], last, samples)
    p = interval(values[-1] - 1, last, samples).p
    verdict = near([its], 1, margin)
    inside = "inside" if its.low <= 1 <= its.high else "outside"
    why = f"1 is {inside} the interval; within 1 ± {margin:g} it would be near 1"
    numbers_of = its.numbers | {"p": p}
    found.append(
        Verdict(
            "3",
            ONE,
            f"mean corrected α at layer {numbers[-1]}",
            **with_doubt(verdict, why, doubt),
            **numbers_of,
            reference=1.0,
        )
    )
    return found


def _above_lowest(values, influence, samples, end, others):
    """By how much a layer is above the lowest of others, and which that is."""
    contrasts = values[end] - values[others]
    moves = None if influence is None else influence[end] - influence[others]
    largest = int(np.argmax(contrasts))
    return simultaneous(contrasts, moves, samples)[largest], others[largest]


def of_dimensions(alphas, dimensions):
    """Claims 2b and 2c: measures that the first ranks decide, beside α, which begins behind them.

    Parameters
    ----------
    alphas : tokengeometry.geometry.claims.alphas.Alphas
    dimensions : tokengeometry.geometry.uncertainty.dimensions.Trajectories
        Of the spatial tokens.

    Returns
    -------
    list of Verdict
        Without a minimum of α before the last layer, they are compared from the first layer on.
    """
    tokens, layers = alphas.spatial()
    layers = layers[np.isin(alphas.layers[layers], dimensions.layers)]
    if len(layers) < 3 or not len(tokens):
        return [
            Verdict(claim, statement, "none", UNTOLD, FEW_LAYERS)
            for claim, (_, statement, _, _) in zip(("2b", "2c"), DIMENSIONS, strict=True)
        ]
    values, _ = alphas.mean(tokens, layers)
    lowest = int(np.argmin(values[:-1]))
    ends = alphas.layers[layers[lowest]], alphas.layers[layers[-1]]
    first, last = (int(np.flatnonzero(dimensions.layers == layer)[0]) for layer in ends)
    found = []
    for claim, (measure, statement, words, sign) in zip(("2b", "2c"), DIMENSIONS, strict=True):
        its = dimensions.values[measure]
        moves = None
        if dimensions.influence is not None:
            moves = dimensions.influence[measure][last] - dimensions.influence[measure][first]
        change = interval(its[last] - its[first], moves, dimensions.samples)
        towards = interval(sign * change.estimate, moves, dimensions.samples)
        verdict = above(towards)
        why = (
            f"it goes from {_of(its[first])} to {_of(its[last])} while α goes from {_of(values[lowest])} to "
            f"{_of(values[-1])}"
        )
        statistic = f"{words} at layer {ends[1]} less that at layer {ends[0]}"
        doubt = NO_FOLDS if moves is None else ""
        found.append(
            Verdict(claim, statement, statistic, **with_doubt(verdict, why, doubt), **change.numbers, reference=0.0)
        )
    return found


def of_cls(alphas):
    """Claim 4, of CLS.

    Parameters
    ----------
    alphas : tokengeometry.geometry.claims.alphas.Alphas

    Returns
    -------
    list of Verdict
    """
    return [_begins(alphas), *_dips_and_rises(alphas)]


def _begins(alphas):
    (cls, its_layers), (tokens, layers) = alphas.cls(), alphas.spatial()
    both = np.intersect1d(its_layers, layers)
    if not len(both) or alphas.layers[both[0]] != 1:
        return Verdict("4a", CLS_BEGINS, "none", UNTOLD, NO_CLS)
    first = both[:1]
    (of_cls, of_rest), moves = (alphas.mean(which, first) for which in (cls, tokens)), None
    if of_cls[1] is not None:
        moves = of_rest[1][0] - of_cls[1][0]
    its = interval(of_rest[0][0] - of_cls[0][0], moves, alphas.samples)
    why = f"CLS has {_of(of_cls[0][0])}, the spatial tokens {_of(of_rest[0][0])}"
    doubt = alphas.doubt(np.concatenate([cls, tokens]), first)
    statistic = "mean corrected α of the spatial tokens less that of CLS, at layer 1"
    return Verdict("4a", CLS_BEGINS, statistic, **with_doubt(above(its), why, doubt), **its.numbers, reference=0.0)


def _dips_and_rises(alphas):
    cls, layers = alphas.cls()
    numbers = alphas.layers[layers]
    dip = np.flatnonzero(np.isin(numbers, DIP))
    if not len(dip) or numbers[0] != 1 or dip[-1] == len(layers) - 1:
        return [
            Verdict(claim, statement, "none", UNTOLD, NO_CLS if not len(layers) else FEW_LAYERS)
            for claim, statement in (("4b", CLS_DIPS), ("4c", CLS_RISES))
        ]
    values, influence = alphas.mean(cls, layers)
    doubt, samples = alphas.doubt(cls, layers), alphas.samples

    def contrasts(first, second):
        moves = None if influence is None else influence[second] - influence[first]
        return simultaneous(values[second] - values[first], moves, samples)

    rises = contrasts(np.zeros(len(dip), int), dip)
    its = max(rises, key=lambda one: one.estimate)
    peak = dip[int(np.argmax(values[dip]))]
    why = f"{_of(values[0])} at layer 1, {_of(values[peak])} at layer {numbers[peak]}"
    among = " and ".join(map(str, numbers[dip]))
    statistic = (
        f"corrected α of CLS at layer {numbers[peak]} less that at layer 1, the larger of layers {among}; simultaneous"
    )
    found = [Verdict("4b", CLS_DIPS, statistic, **with_doubt(above(its), why, doubt), **its.numbers, reference=0.0)]
    steps = contrasts(np.arange(peak, len(layers) - 1), np.arange(peak + 1, len(layers)))
    last = len(layers) - 1
    (fall,) = contrasts(np.array([last]), np.array([peak]))
    worst = int(np.argmax([one.low for one in steps])) if influence is not None else 0
    climbs = above(steps[worst])
    verdict = above(fall)
    why = f"{_of(values[peak])} at layer {numbers[peak]}, {_of(values[last])} at layer {numbers[last]}"
    if climbs == HOLDS:
        verdict = FAILS
        why += f"; but α rises by {_of(steps[worst].estimate)} to layer {numbers[peak + 1 + worst]}"
    statistic = (
        f"corrected α of CLS at layer {numbers[peak]} less that at layer {numbers[last]}; and no step between them up, "
        "simultaneous over the steps"
    )
    found.append(Verdict("4c", CLS_RISES, statistic, **with_doubt(verdict, why, doubt), **fall.numbers, reference=0.0))
    return found


def _of(value):
    return f"{value:.3f}"
