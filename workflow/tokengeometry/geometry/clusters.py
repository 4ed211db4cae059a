"""Clusters of tokens by their α trajectories: UMAP to a plane, then k-means (Joseph et al. 2023)."""

import warnings
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

# From so many points on UMAP takes neighbours that are nearly the nearest; distances of all would be many.
APPROXIMATED = 4096


@dataclass(frozen=True)
class Clusters:
    """Clusters of tokens.

    Attributes
    ----------
    embedding : array, (token, 2)
        UMAP's plane; NaN for a token that was left out.
    label : array of int, (token,)
        1 … k, ordered by the mean α of the cluster, smallest first; 0 for a token that was left out.
    layers : array of bool, (layer,)
        The layers that made the trajectories.
    """

    embedding: np.ndarray
    label: np.ndarray
    layers: np.ndarray


def complete_trajectories(trajectories):
    """Which tokens and layers make trajectories without a gap.

    A token is left out that has an α at less than half as many layers as the median token with any: one
    that has few would cost all others the layers where it has none. Every layer at which one of the remaining
    tokens has none is left out then.

    Parameters
    ----------
    trajectories : array, (token, layer)
        α; NaN where it is empty.

    Returns
    -------
    tokens : array of bool, (token,)
    layers : array of bool, (layer,)
    """
    defined = ~np.isnan(trajectories)
    counts = defined.sum(axis=1)
    if not counts.any():
        return np.zeros(defined.shape[0], bool), np.zeros(defined.shape[1], bool)
    tokens = counts >= np.median(counts[counts > 0]) / 2
    return tokens, defined[tokens].all(axis=0)


def cluster_trajectories(trajectories, count, *, neighbors=15, min_dist=0.1, seed=0):
    """Cluster tokens by their α trajectories.

    Parameters
    ----------
    trajectories : array, (token, layer)
        α of every token at every layer; NaN where it is empty.
    count : int
        k, the number of clusters.
    neighbors, min_dist
        UMAP's `n_neighbors` and `min_dist`.
    seed : int
        Of UMAP, of its start and of k-means: the same one gives the same clusters, whatever the trajectories.

    Returns
    -------
    Clusters
        With all labels 0 where fewer than `count` + 2 tokens, or no layer, have what it takes.
    """
    from sklearn.cluster import KMeans

    trajectories = np.asarray(trajectories, dtype=np.float64)
    tokens, layers = complete_trajectories(trajectories)
    embedding = np.full((len(trajectories), 2), np.nan)
    label = np.zeros(len(trajectories), dtype=int)
    if layers.any() and tokens.sum() >= count + 2:
        points = trajectories[np.ix_(tokens, layers)]
        # Threads add up in the order in which they are done.
        with threadpool_limits(1):
            embedding[tokens] = _plane(points, neighbors, min_dist, seed)
            found = KMeans(count, n_init=10, random_state=seed).fit_predict(embedding[tokens])
        means = np.array([points[found == index].mean() for index in range(count)])
        label[tokens] = 1 + np.argsort(np.argsort(means))[found]
    return Clusters(embedding, label, layers)


def _plane(points, neighbors, min_dist, seed):
    """UMAP's plane of points, (point, 2)."""
    from umap import UMAP

    _keep_compiled()
    few = len(points) < APPROXIMATED
    reducer = UMAP(
        metric="precomputed" if few else "euclidean",
        n_neighbors=min(neighbors, len(points) - 1),
        min_dist=min_dist,
        random_state=seed,
        n_jobs=1,
        init=_start(points, seed),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*force_all_finite.*")
        warnings.filterwarnings("ignore", message="using precomputed metric.*")
        return reducer.fit_transform(_distances(points) if few else points)


def _distances(points):
    """Euclidean distances (point, point), rounded as UMAP's own, for which it calls a function for every pair."""
    rounded = points.astype(np.float32)
    distances = np.empty((len(points), len(points)))
    for row, point in zip(distances, rounded, strict=True):
        np.sqrt(np.square(rounded - point).sum(axis=1, dtype=np.float64), out=row)
    return distances


def _start(points, seed):
    """Where UMAP begins, (point, 2): the first two principal components, as large as its own start and as noisy.

    Its own one, spectral, is another one each time where points are (nearly) equal: the eigenvectors of their graph are
    then any of many, and the solver takes some.
    """
    centred = points - points.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    components = centred @ directions[:, :-3:-1]
    start = np.random.default_rng(seed).normal(scale=1e-4, size=(len(points), 2))
    largest = np.abs(components).max()
    # UMAP itself takes points in float32: what differs by less is equal.
    if largest > np.finfo(np.float32).eps * np.abs(points).max():
        start[:, : components.shape[1]] += components * (10 / largest)
    return start


def _keep_compiled():
    """Let numba keep what it compiles of UMAP, as it does for pynndescent; it takes longer than UMAP itself."""
    from numba.core.dispatcher import Dispatcher
    from umap import layouts, umap_, utils

    for module in (layouts, umap_, utils):
        for function in vars(module).values():
            if isinstance(function, Dispatcher):
                function.enable_caching()
