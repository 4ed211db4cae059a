"""How many tokens go at each block: shapes over the blocks, and the schedule of a shape that has given operations.

A shape is a number ≥ 0 for each block. The tokens that go at a block are in proportion to it, as far as there are
enough: of the spatial tokens at most half go at a block. What could not go there goes at the next ones.
"""

from types import MappingProxyType

import numpy as np

from tokengeometry.errors import StudyError

# Of what is subtracted from a quantity before tokens go in proportion to it.
BELOW = 0.9
# A pair of tokens is redundant above this correlation.
REDUNDANT = 0.9
# Of `exponential`: one of them is chosen.
RATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8)


def constant(depth):
    """The same at every block.

    Parameters
    ----------
    depth : int
        How many blocks there are.

    Returns
    -------
    array, (block,), float64
    """
    return np.ones(depth)


def decreasing(depth):
    """On a line down to 0 at the last block, as ToMe's own.

    Parameters
    ----------
    depth : int

    Returns
    -------
    array, (block,), float64
    """
    return np.linspace(1, 0, depth)


def increasing(depth):
    """On a line up from 0 at the first block.

    Parameters
    ----------
    depth : int

    Returns
    -------
    array, (block,), float64
    """
    return np.linspace(0, 1, depth)


def first(depth, blocks=4):
    """All in the first few blocks.

    Parameters
    ----------
    depth : int
    blocks : int

    Returns
    -------
    array, (block,), float64
    """
    return (np.arange(depth) < blocks).astype(float)


def exponential(depth, rate):
    """As exp(−rate · block).

    Parameters
    ----------
    depth : int
    rate : float

    Returns
    -------
    array, (block,), float64
    """
    return np.exp(-rate * np.arange(depth))


def of_alpha(alpha, below=BELOW):
    """As far as α is above most of its minimum over the layers: where α is high, few directions hold the variance.

    Parameters
    ----------
    alpha : array, (block,), float64
        Of the layer that each block makes: the mean over its spatial tokens.
    below : float
        Which share of the minimum is subtracted.

    Returns
    -------
    array, (block,), float64
    """
    return alpha - below * alpha.min()


def of_rank(rank, below=BELOW):
    """As `of_alpha`, for the inverse of the effective rank.

    Parameters
    ----------
    rank : array, (block,), float64
        RankMe of the layer that each block makes: the mean over its spatial tokens.
    below : float

    Returns
    -------
    array, (block,), float64
    """
    return of_alpha(1 / rank, below)


def of_correlation(matrices):
    """The mean correlation of two spatial tokens, where it is positive.

    Parameters
    ----------
    matrices : sequence of array, (place, place)
        Of the layer that each block makes.

    Returns
    -------
    array, (block,), float64
    """
    return np.array([max(0.0, float(np.nanmean(_pairs(matrix)))) for matrix in matrices])


def of_share(matrices, above=REDUNDANT):
    """The share of pairs of spatial tokens whose correlation is above a bound.

    Parameters
    ----------
    matrices : sequence of array, (place, place)
    above : float

    Returns
    -------
    array, (block,), float64
    """
    return np.array([float((_pairs(matrix) > above).mean()) for matrix in matrices])


def _pairs(matrix):
    return matrix[np.tril_indices(len(matrix), -1)]


FIXED = MappingProxyType({"constant": constant, "decreasing": decreasing, "increasing": increasing, "first": first})


def scaled(shape, spatial, factor):
    """The schedule of a shape at a scale.

    Parameters
    ----------
    shape : array, (block,)
    spatial : int
        Tokens of the input.
    factor : float
        Tokens that go for each unit of the shape.

    Returns
    -------
    list of int
    """
    schedule, there = [], spatial
    for wanted in np.rint(factor * np.cumsum(shape)):
        # What could not go before is caught up.
        schedule.append(int(min(max(0, there - max(spatial - wanted, 0)), there // 2)))
        there -= schedule[-1]
    return schedule


def solve(shape, spatial, cost, budget):
    """The schedule of a shape whose cost is nearest to a budget.

    Parameters
    ----------
    shape : array, (block,)
        At least 0.
    spatial : int
        Tokens of the input.
    cost : callable
        Of a schedule; it falls as more tokens go.
    budget : float
        A share of the cost of the model that keeps all its tokens.

    Returns
    -------
    list of int

    Raises
    ------
    StudyError
        The shape can't save so much.
    """
    shape = np.asarray(shape, dtype=float)
    if not (np.isfinite(shape).all() and (shape >= 0).all() and shape.any()):
        raise StudyError(f"schedule: its shape over the blocks must be numbers from 0 on, not all 0; it is {shape}")
    whole = cost([0] * len(shape))

    def share(factor):
        return cost(scaled(shape, spatial, factor)) / whole

    low, high = 0.0, 2 * len(shape) * spatial / shape[shape > 0].min()
    if share(high) > budget * 1.005:
        raise StudyError(
            f"reduction.budgets: {budget:g} is less than this schedule can reach: where tokens go at the blocks "
            f"{', '.join(str(block + 1) for block in np.flatnonzero(shape))}, {share(high):.2f} is left at least"
        )
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle) <= budget else (middle, high)
    # The costs at both sides of the step that the budget lies in.
    factor = min((low, high), key=lambda its: abs(share(its) - budget))
    return scaled(shape, spatial, factor)
