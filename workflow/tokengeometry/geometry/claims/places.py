"""Statements on where tokens lie in the image: clusters as places, and corners.

A map over the grid of tokens is smooth, so cells are no independent draws. Which null a statistic needs depends on its
question. Moran's I asks whether there is any autocorrelation: its null are permutations of the cells. (Shifts over a
torus leave nearly all neighbours neighbours.) Whether clusters follow the border asks for more than smoothness: its
null keeps the map of clusters and shifts it over a torus. Rotations and reflections would add nothing, since they leave
every cell's distance to the border as it is.
"""

import numpy as np
from scipy.ndimage import convolve
from scipy.stats import rankdata

from tokengeometry.geometry.claims.verdicts import (
    ERROR,
    UNTOLD,
    Verdict,
    above,
    against,
    beyond_null,
    interval,
    with_doubt,
)

SMOOTH = "Tokens that lie next to each other have a similar α"
BORDER = "The clusters are places of the image: they follow the distance to its border"
CORNERS = "The corners have the higher α"
PERMUTATIONS = 999
QUEEN = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
# Grids with at least so many rows and columns have corners of 2 × 2 tokens; smaller ones of one.
LARGE = 8


def morans_i(values):
    """Moran's I of a map, with the eight neighbours of every cell, each of weight 1.

    Parameters
    ----------
    values : array, (row, column)
        NaN where there is none.

    Returns
    -------
    float
        NaN where no two neighbours have values, or all values are equal.
    """
    there = np.isfinite(values)
    if not there.any():
        return float("nan")
    centred = np.where(there, values - values[there].mean(), 0.0)
    squares, pairs = (centred**2).sum(), convolve(there.astype(float), QUEEN, mode="constant")[there].sum()
    if squares <= 1e-12 * max(1.0, np.nanmax(np.abs(values))) ** 2 or not pairs:
        return float("nan")
    product = (centred * convolve(centred, QUEEN, mode="constant")).sum()
    return float(there.sum() / pairs * product / squares)


def permuted(values, draws=PERMUTATIONS, seed=0):
    """Moran's I of maps whose cells are permuted among those that have values.

    Parameters
    ----------
    values : array, (row, column)
        NaN where there is none.
    draws, seed : int

    Returns
    -------
    array, (draw,)
    """
    rng, there = np.random.default_rng(seed), np.isfinite(values)
    found = np.empty(draws)
    for draw in range(draws):
        shuffled = np.full(values.shape, np.nan)
        shuffled[there] = rng.permutation(values[there])
        found[draw] = morans_i(shuffled)
    return found


def distance_to_border(grid):
    """Tokens between every cell and the nearest border.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    array of int, (row, column)
    """
    row, column = np.indices(grid)
    return np.minimum.reduce([row, column, grid[0] - 1 - row, grid[1] - 1 - column])


def explained(labels, values):
    """Of the ranks of a map, the share of variance between clusters: η², Kruskal's H over n − 1.

    Parameters
    ----------
    labels : array of int, (row, column)
        0 where there is none.
    values : array, (row, column)

    Returns
    -------
    float
        NaN where there is one cluster or one value only.
    """
    there = labels > 0
    ranks, which = rankdata(values[there]), labels[there]
    if len(np.unique(which)) < 2 or not np.ptp(ranks):
        return float("nan")
    ranks -= ranks.mean()
    count = np.bincount(which)
    sums = np.bincount(which, ranks)
    return float((sums[count > 0] ** 2 / count[count > 0]).sum() / (ranks**2).sum())


def shifted(labels, values):
    """The same of all shifts of the clusters' map over a torus but the one that leaves it.

    Parameters
    ----------
    labels, values : array, (row, column)
        As of `explained`.

    Returns
    -------
    array, (shift,)
    """
    rows, columns = labels.shape
    return np.array(
        [
            explained(np.roll(labels, (down, right), (0, 1)), values)
            for down in range(rows)
            for right in range(columns)
            if down or right
        ]
    )


def of_clusters(clusters, grid):
    """Claim 5.

    Parameters
    ----------
    clusters : pandas.DataFrame
        Columns row, column, cluster and mean_alpha.
    grid : (int, int)

    Returns
    -------
    list of Verdict
    """
    rows, columns = clusters.row.to_numpy(int), clusters.column.to_numpy(int)
    alpha, labels = np.full(grid, np.nan), np.zeros(grid, int)
    alpha[rows, columns] = clusters.mean_alpha.to_numpy(np.float64, na_value=np.nan)
    labels[rows, columns] = clusters.cluster.to_numpy(np.float64, na_value=0)
    found = []
    for claim, statement, estimate, null, statistic, which in (
        (
            "5a",
            SMOOTH,
            morans_i(alpha),
            permuted(alpha),
            "Moran's I of the map of mean α, eight neighbours; "
            f"null: {PERMUTATIONS} permutations of the cells, as the question is whether there is any autocorrelation",
            "permutations",
        ),
        (
            "5b",
            BORDER,
            explained(labels, distance_to_border(grid)),
            shifted(labels, distance_to_border(grid)),
            "share of the variance (η²) of the ranks of the distance to the border that is between clusters; "
            f"null: the {grid[0] * grid[1] - 1} shifts of the clusters' map over a torus, which keep its smoothness",
            "shifts",
        ),
    ):
        p, reference = against(estimate, null)
        verdict = beyond_null(p, 1 / (1 + len(null)))
        if not np.isfinite(estimate):
            why = "the map has no two values"
        elif verdict == UNTOLD:
            why = f"{len(null)} {which} are too few for an error of {ERROR:.0%}"
        else:
            why = f"95 % of the {which} are below {reference:.3f}"
        found.append(Verdict(claim, statement, statistic, verdict, why, estimate, p=p, reference=reference))
    return found


def corner_cells(grid):
    """Which cells are corners.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    array of bool, (row, column)
    """
    size = 2 if min(grid) >= LARGE else 1
    row, column = (np.minimum(index, length - 1 - index) for index, length in zip(np.indices(grid), grid, strict=True))
    return (row < size) & (column < size)


def of_corners(alphas, grid):
    """Claim 7.

    Parameters
    ----------
    alphas : tokengeometry.geometry.claims.alphas.Alphas
    grid : (int, int)

    Returns
    -------
    list of Verdict
    """
    tokens, layers = alphas.spatial()
    places = alphas.tokens.iloc[tokens]
    corner = corner_cells(grid)[places.row.to_numpy(int), places.column.to_numpy(int)]
    if not len(layers) or not corner.any() or corner.all():
        return [Verdict("7", CORNERS, "none", UNTOLD, "there are no corners with α, or no other tokens")]
    (of_corners, moves), (of_rest, others) = (alphas.mean(tokens[which], layers) for which in (corner, ~corner))
    moves = None if moves is None else (moves - others).mean(axis=0)
    its = interval((of_corners - of_rest).mean(), moves, alphas.samples)
    why = f"the {corner.sum()} corner tokens have {of_corners.mean():.3f}, the other {of_rest.mean():.3f}"
    statistic = (
        "mean corrected α of the corner tokens less that of the other spatial tokens, averaged over layers "
        f"{alphas.layers[layers[0]]} to {alphas.layers[layers[-1]]}"
    )
    verdict = above(its)
    doubt = alphas.doubt(tokens, layers)
    return [
        Verdict("7", CORNERS, statistic, **with_doubt(verdict, why, doubt), **its.numbers, reference=0.0),
    ]
