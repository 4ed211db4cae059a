"""All statements on a branch."""

import numpy as np

from tokengeometry.geometry.claims import clustering, correlations, places, trajectories
from tokengeometry.geometry.claims.alphas import NO_FOLDS
from tokengeometry.geometry.clusters import complete_trajectories


def of_branch(alphas, clusters, correlation, jackknife, dimensions, grid, settings, margin):
    """Claims 1 to 8.

    Parameters
    ----------
    alphas : tokengeometry.geometry.claims.alphas.Alphas
    clusters, correlation : pandas.DataFrame
        As in `clusters.csv` and `correlation.csv`.
    jackknife : dict
        As of `tokengeometry.geometry.claims.correlations.read_jackknife`.
    dimensions : tokengeometry.geometry.uncertainty.dimensions.Trajectories
        Of the spatial tokens.
    grid : (int, int)
        Rows and columns of tokens.
    settings : dict
        The configuration's `clusters`.
    margin : float
        What α may differ by and count as equal.

    Returns
    -------
    list of Verdict
        Ordered by claim.
    """
    points, moves, doubt = halves(alphas)
    found = [
        *trajectories.of_spatial(alphas, margin),
        *trajectories.of_dimensions(alphas, dimensions),
        *trajectories.of_cls(alphas),
        *places.of_clusters(clusters, grid),
        *clustering.of_trajectories(points, moves, settings, doubt),
        *places.of_corners(alphas, grid),
        *correlations.of_measures(correlation, jackknife, NO_FOLDS if alphas.influence is None else ""),
    ]
    return sorted(found, key=lambda verdict: verdict.claim)


def halves(alphas):
    """Complete α trajectories of the spatial tokens, and what half of the images does to them.

    Parameters
    ----------
    alphas : tokengeometry.geometry.claims.alphas.Alphas

    Returns
    -------
    points : array, (token, layer)
        Those that are clustered.
    moves : array, (token, layer), or None
        The mean of ψ over every other image of the folds.
    doubt : str
        Why there are none, or not to be trusted; or nothing.
    """
    spatial = np.flatnonzero(alphas.tokens.kind == "spatial")
    tokens, layers = complete_trajectories(alphas.alpha[spatial])
    tokens, layers = spatial[tokens], np.flatnonzero(layers)
    points = alphas.alpha[np.ix_(tokens, layers)]
    if alphas.influence is None or not points.size:
        return points, None, alphas.doubt(tokens, layers)
    moves = np.stack([alphas.influence[tokens, layer, ::2].mean(axis=1, dtype=np.float64) for layer in layers], axis=1)
    if not np.isfinite(moves).all():
        return points, None, "some trajectories have no folds"
    return points, moves, alphas.doubt(tokens, layers)
