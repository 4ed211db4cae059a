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
from tokengeometry.geometry.uncertainty import similarity
from tokengeometry.geometry.uncertainty.similarity import FOLDS, PREFIXES

# Measures that `correlation.csv` may have, in words, and the letters of their two claims.
MEASURES = {
    "mean": ("The mean correlation of tokens", "ab"),
    "centred_mean": ("The mean correlation of tokens about their mean image", "cd"),
    "cka_mean": ("The mean CKA of tokens", "ef"),
    "cosine_mean": ("The mean cosine of tokens", "gh"),
}
# Of the jackknife over ten folds.
FREEDOM = FOLDS - 1


def read_jackknife(folded, samples):
    """What leaving out a fold of the images does to the means over all pairs of tokens, layer by layer.

    Parameters
    ----------
    folded : dict of int to open store
        By layer.
    samples : int
        N.

    Returns
    -------
    dict of str to dict of int to array, (fold,)
        By the names of `MEASURES` and by layer: the means without a fold, less their mean. They are scaled to N images,
        so that the jackknife's error of a sum of layers is √((K−1)/K Σ²) of the sum of these.
    """
    found = {f"{prefix}mean": {} for prefix in PREFIXES.values()}
    for layer, store in folded.items():
        images = int(store.attributes["samples"])
        folds = min(FOLDS, images)
        if folds < 2:
            continue
        for measure, without in zip(similarity.MEASURES, store["similarity_without"][:], strict=True):
            its = without[0, :folds] - without[0, :folds].mean()
            # The error of CKA is that of the images it takes.
            found[f"{PREFIXES[measure]}mean"][layer] = its * (1 if measure == "cka" else np.sqrt(images / samples))
    return found


def of_measures(table, jackknife, doubt=""):
    """Claim 8, of every measure that the table has.

    Parameters
    ----------
    table : pandas.DataFrame
        `layer`, and some of `MEASURES`.
    jackknife : dict
        As of `read_jackknife`; empty where there are no folds.
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
        of_layers = [jackknife.get(measure, {}).get(layer) for layer in layers]
        moves = None
        if len(layers) and all(one is not None and np.isfinite(one).all() for one in of_layers):
            moves = np.array(of_layers)
        missing = "" if moves is not None else f"there is no standard error of {measure}"
        if not len(its):
            missing = f"correlation.csv has no {measure}"
        for claim, statement, judge in (
            (f"8{rise}", f"{words} rises from layer 1 to layer 2", _rises),
            (f"8{valley}", f"{words} is U-shaped from layer 2 on", _is_u),
        ):
            found.append(judge(claim, statement, measure, layers, values, moves, doubt or missing))
    return found


def _contrast(weights, values, moves, times=1):
    """A sum of layers with its interval; without moves it has none."""
    error = np.nan
    if moves is not None:
        its = weights @ moves
        error = np.sqrt((len(its) - 1) / len(its) * np.square(its).sum())
    return with_error(float(weights @ values), error, times, FREEDOM)


def _rises(claim, statement, measure, layers, values, moves, doubt):
    if not {1, 2} <= set(layers):
        return Verdict(claim, statement, "none", UNTOLD, doubt or "the study has no layers 1 and 2")
    its = _contrast((layers == 2).astype(float) - (layers == 1), values, moves)
    first, second = values[layers == 1][0], values[layers == 2][0]
    why = f"{first:.3f} at layer 1, {second:.3f} at layer 2"
    statistic = f"{measure} at layer 2 less that at layer 1"
    return Verdict(claim, statement, statistic, **with_doubt(above(its), why, doubt), **its.numbers, reference=0.0)


def _is_u(claim, statement, measure, layers, values, moves, doubt):
    later = layers >= 2
    layers, values, moves = layers[later], values[later], None if moves is None else moves[later]
    if len(layers) < 3:
        return Verdict(claim, statement, "none", UNTOLD, doubt or "the study has too few layers from 2 on")
    bottom = int(np.clip(np.argmin(values), 1, len(layers) - 2))
    times = 2 * (len(layers) - 2)
    left, right = two_lines(layers, bottom)
    fall, rise = _contrast(-left, values, moves, times), _contrast(right, values, moves, times)
    verdicts = {above(fall), above(rise)}
    verdict = HOLDS if verdicts == {HOLDS} else FAILS if FAILS in verdicts else UNTOLD
    least = min(fall, rise, key=lambda one: one.estimate)
    why = f"slope {-fall.estimate:+.4f} a layer up to layer {layers[bottom]}, {rise.estimate:+.4f} from there on"
    statistic = (
        f"{measure}: the lesser of the fall before its minimum and the rise after it, a layer (two lines); "
        f"simultaneous over {len(layers) - 2} places of the minimum"
    )
    return Verdict(claim, statement, statistic, **with_doubt(verdict, why, doubt), **least.numbers, reference=0.0)


def two_lines(layers, bottom):
    """Weights of layers in the slopes of a line up to a layer and of one from it on (Simonsohn 2018).

    Parameters
    ----------
    layers : array of int, (layer,)
    bottom : int
        The position that is in both.

    Returns
    -------
    left, right : array, (layer,)
        A slope is the sum of these with the values: least squares, all layers alike.
    """
    found = []
    for part in (slice(None, bottom + 1), slice(bottom, None)):
        weights, x = np.zeros(len(layers)), layers[part] - layers[part].mean()
        weights[part] = x / (x**2).sum()
        found.append(weights)
    return found
