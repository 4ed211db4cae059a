"""The statement that the α trajectories form clusters, so many of them.

Any index has some value where there is no cluster at all. So each stands beside its null: trajectories from one
Gaussian of the same mean and covariance, which go through the same steps.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from tokengeometry.geometry.claims.verdicts import (
    FAILS,
    HOLDS,
    UNTOLD,
    Verdict,
    against,
    beyond_null,
    with_doubt,
)
from tokengeometry.geometry.clusters import cluster_trajectories

SEEDS = 20
NULLS = 20
MOST = 8
FEW = "there are too few complete trajectories"
EQUAL = "all trajectories are equal"
NULL = f"null: {NULLS} draws of one Gaussian of the same covariance, put through the same steps"


@dataclass(frozen=True)
class Indices:
    """What is known of a set of trajectories' clusters.

    Attributes
    ----------
    silhouette : dict of str to array, (k,)
        Of k-means, in the "trajectories" and in the "plane" of UMAP; k from 1, where it is NaN.
    spread : dict of str to array, (k,)
        log W_k, the logarithm of the sum of squares about the clusters' means.
    agreement : dict of str to float
        Mean adjusted Rand indices: over "seeds"; of "halves" of the images; with k-means of the "trajectories"; with a
        cut of the "mean" α at the clusters' sizes.
    """

    silhouette: dict
    spread: dict
    agreement: dict


def sweep(points, most, seed):
    """Silhouette and log W of k-means, k = 1 … `most`.

    Parameters
    ----------
    points : array, (point, feature)
    most, seed : int

    Returns
    -------
    silhouette, spread : array, (k,)
    """
    silhouette, spread = np.full(most, np.nan), np.empty(most)
    for k in range(1, most + 1):
        found = KMeans(k, n_init=10, random_state=seed).fit(points)
        spread[k - 1] = np.log(max(found.inertia_, np.finfo(float).tiny))
        # Points that are equal make fewer clusters than are asked for.
        if 1 < len(np.unique(found.labels_)) < len(points):
            silhouette[k - 1] = silhouette_score(points, found.labels_)
    return silhouette, spread


def gap(spread, nulls):
    """The gap statistic (Tibshirani, Walther & Hastie 2001) and its k.

    There are two rules for k. They differ where k + 1 clusters explain little more than k, but k + 2 do: three groups
    at equal distances are one by the first rule, and clusters in clusters are many by the second.

    Parameters
    ----------
    spread : array, (k,)
        log W_k, k from 1.
    nulls : array, (draw, k)
        The same of the null.

    Returns
    -------
    gaps, errors : array, (k,)
    first, largest : int
        The smallest k whose gap is at least that of k + 1 less its error, of Tibshirani and colleagues; and the
        smallest whose gap is at least the largest less its error (Dudoit & Fridlyand 2002).
    """
    gaps = nulls.mean(axis=0) - spread
    errors = nulls.std(axis=0) * np.sqrt(1 + 1 / len(nulls))
    stops = np.append(gaps[:-1] >= gaps[1:] - errors[1:], True)
    best = np.argmax(gaps)
    return gaps, errors, int(np.argmax(stops)) + 1, int(np.argmax(gaps >= gaps[best] - errors[best])) + 1


def cut_by_mean(points, labels):
    """Clusters of the same sizes that are cuts of the mean over layers.

    Parameters
    ----------
    points : array, (token, layer)
    labels : array of int, (token,)
        1 … k, ordered by the mean.

    Returns
    -------
    array of int, (token,)
    """
    cut = np.empty(len(labels), int)
    cut[np.argsort(points.mean(axis=1), kind="stable")] = np.sort(labels)
    return cut


def first_axis(points):
    """The share of the variance on the first principal axis.

    Parameters
    ----------
    points : array, (point, feature)

    Returns
    -------
    float
    """
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) ** 2
    return float(values[0] / values.sum())


def indices(points, halves, settings, seeds, most):
    """All indices of a set of trajectories.

    Parameters
    ----------
    points : array, (token, layer)
    halves : array, (2, token, layer), or None
        Trajectories of either half of the images.
    settings : dict
        count, neighbors, min_dist and seed; of the configuration's `clusters`.
    seeds : int
        How many seeds, from the first on.
    most : int
        The largest k.

    Returns
    -------
    Indices
    """
    first = settings["seed"]
    found = [cluster_trajectories(points, **settings | {"seed": (first + more) % 2**32}) for more in range(seeds)]
    labels = [its.label for its in found]
    agreement = {
        "seeds": float(
            np.mean([adjusted_rand_score(labels[i], labels[j]) for i in range(seeds) for j in range(i + 1, seeds)])
        ),
        "trajectories": adjusted_rand_score(
            labels[0], KMeans(settings["count"], n_init=10, random_state=first).fit_predict(points)
        ),
        "mean": adjusted_rand_score(labels[0], cut_by_mean(points, labels[0])),
    }
    if halves is not None:
        agreement["halves"] = adjusted_rand_score(*(cluster_trajectories(half, **settings).label for half in halves))
    sweeps = {
        "trajectories": sweep(points, most, first),
        "plane": sweep(found[0].embedding, most, first),
    }
    silhouette, spread = ({space: its[part] for space, its in sweeps.items()} for part in (0, 1))
    return Indices(silhouette, spread, agreement)


def one_gaussian(points, draws, seed):
    """Points from one Gaussian of the same mean and covariance.

    Parameters
    ----------
    points : array, (point, feature)
    draws, seed : int

    Returns
    -------
    array, (draw, point, feature)
    """
    covariance = np.cov(points, rowvar=False).reshape(points.shape[1], points.shape[1])
    law = multivariate_normal(points.mean(axis=0), covariance, allow_singular=True)
    return law.rvs((draws, len(points)), random_state=seed).reshape(draws, *points.shape)


def of_trajectories(points, moves, settings, doubt=""):
    """Claim 6.

    Parameters
    ----------
    points : array, (token, layer)
        Complete α trajectories.
    moves : array, (token, layer), or None
        By how much the first half of the images moves each α; the second half moves it as much the other way.
    settings : dict
        The configuration's `clusters`.
    doubt : str
        Why there are no moves, or why they are not to be trusted; or nothing.

    Returns
    -------
    list of Verdict
    """
    count = settings["count"]
    most = min(max(MOST, count + 1), len(points) - 1)
    few, equal = len(points) < count + 2 or not points.shape[1], points.size and not np.ptp(points, axis=0).any()
    if few or equal:
        return [Verdict("6", f"There are {count} clusters", "none", UNTOLD, FEW if few else EQUAL)]

    def of(its, seeds):
        halves = None if moves is None else (its + moves, its - moves)
        return indices(its, halves, settings, seeds, most)

    # Threads add up in the order in which they are done.
    with threadpool_limits(1):
        found = of(points, SEEDS)
        nulls = [of(its, 2) for its in one_gaussian(points, NULLS, settings["seed"])]
    return [
        *_numbers(found, nulls, count),
        *_agreements(found, nulls, doubt),
        _levels(found, nulls, doubt),
        Verdict(
            "6i",
            "The trajectories differ in more than one direction",
            "share of the trajectories' variance on their first principal axis",
            UNTOLD,
            "the paper names no number to compare it with",
            estimate=first_axis(points),
        ),
    ]


def _numbers(found, nulls, count):
    """Claims 6a to 6d: how many clusters there are."""
    for (space, where), (a, b) in zip(
        (("trajectories", "among the trajectories"), ("plane", "in UMAP's plane")), ("ab", "cd"), strict=True
    ):
        silhouettes = found.silhouette[space]
        best = int(np.argmax(np.nan_to_num(silhouettes, nan=-1))) + 1
        estimate = float(silhouettes[count - 1])
        p, reference = against(estimate, [its.silhouette[space][count - 1] for its in nulls])
        verdict = beyond_null(p, 1 / (1 + NULLS)) if best == count else FAILS
        why = f"it is largest for {best} clusters, {silhouettes[best - 1]:.3f}; {_below(reference)}"
        yield Verdict(
            f"6{a}",
            f"There are {count} clusters {where}, by the silhouette",
            f"silhouette of k-means with {count} clusters, {where}; {NULL}",
            verdict,
            why,
            estimate,
            p=p,
            reference=reference,
        )
        gaps, _, first, largest = gap(found.spread[space], np.stack([its.spread[space] for its in nulls]))
        p, _ = against(-found.spread[space][count - 1], [-its.spread[space][count - 1] for its in nulls])
        verdict = beyond_null(p, 1 / (1 + NULLS)) if count in (first, largest) else FAILS
        why = f"{first} by the first gap that is not passed, {largest} by the largest; the gap of 1 is {gaps[0]:.3f}"
        if verdict == HOLDS and first != largest:
            verdict = UNTOLD
        yield Verdict(
            f"6{b}",
            f"There are {count} clusters {where}, by the gap statistic",
            f"number of clusters by the gap statistic, {where}; p is of the gap of {count}; {NULL}",
            verdict,
            f"{why}, of {count} {gaps[count - 1]:.3f}",
            float(first),
            p=p,
            reference=float(count),
        )


def _agreements(found, nulls, doubt):
    """Claims 6e to 6g: whether clusters are the same when something else changes."""
    for claim, key, what, statistic in (
        (
            "6e",
            "seeds",
            "Another seed finds",
            f"mean over the pairs of {SEEDS} seeds of UMAP and k-means (2 in the null)",
        ),
        ("6f", "halves", "Other images find", "of either half of the images; ψ moves each α to first order"),
        ("6g", "trajectories", "K-means without UMAP finds", "with k-means of the trajectories themselves"),
    ):
        statement = f"{what} the same clusters, more so than in one Gaussian"
        if key not in found.agreement:
            yield Verdict(claim, statement, "none", UNTOLD, doubt)
            continue
        estimate = float(found.agreement[key])
        p, reference = against(estimate, [its.agreement[key] for its in nulls])
        verdict, why = beyond_null(p, 1 / (1 + NULLS)), _below(reference)
        if key == "halves" and doubt:
            verdict, why = UNTOLD, doubt
        if verdict == FAILS and reference >= 1 - 1e-9:
            verdict, why = UNTOLD, f"the null reaches 1 too often to be passed; its median is {_median(nulls, key):.3f}"
        numbers = dict(estimate=estimate, p=p, reference=reference)
        yield Verdict(claim, statement, f"adjusted Rand index, {statistic}; {NULL}", verdict, why, **numbers)


def _levels(found, nulls, doubt):
    """Claim 6h: whether there is more to the clusters than levels of the mean α."""
    cut, halves = (float(found.agreement.get(key, np.nan)) for key in ("mean", "halves"))
    why = f"halves agree by {halves:.3f}, the cut by {cut:.3f}; in one Gaussian the cut by {_median(nulls, 'mean'):.3f}"
    return Verdict(
        "6h",
        "The clusters are more than levels of the mean α",
        "adjusted Rand index with a cut of the mean α at the clusters' sizes, beside that of the halves of the images "
        "(6f): a cut that agrees as well says as much",
        **with_doubt(HOLDS if cut < halves else FAILS, why, doubt),
        estimate=cut,
        reference=halves,
    )


def _median(nulls, key):
    return np.median([its.agreement[key] for its in nulls])


def _below(reference):
    return f"95 % of the null are below {reference:.3f}"
