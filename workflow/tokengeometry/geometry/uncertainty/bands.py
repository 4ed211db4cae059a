"""Bands of neighbouring ranks: what is kept of every image's part in an eigenvalue, so that any fit has its influence.

Every rank up to the tenth is a band of its own. Beyond, a band is at most 15 % wide, and ranges that are often fitted
begin and end between two bands.
"""

import itertools
import math

import numpy as np

# The grid of ranges on which α is reported; the configured range is beside it.
FIRST_RANKS = (3, 5, 11, 20, 30)
LAST_RANKS = (50, 100, 150, 200, 300)
# Ranks that the usual fit of α leaves out.
LEADING = 10
WIDTH = 1.15
SINGLE = 10


def rank_bands(count):
    """Where bands of ranks begin.

    Parameters
    ----------
    count : int
        How many ranks there are.

    Returns
    -------
    array of int, (band + 1,)
        Band b has the ranks edges[b] + 1 … edges[b + 1], which count from 1.
    """
    fixed = {first - 1 for first in FIRST_RANKS} | {*LAST_RANKS, *range(SINGLE + 1), count}
    fixed = sorted(edge for edge in fixed if edge <= count)
    edges = {0}
    for low, high in itertools.pairwise(fixed):
        pieces = max(1, math.ceil(math.log(high / max(low, 1)) / math.log(WIDTH))) if low >= SINGLE else 1
        edges |= {round(low * (high / max(low, 1)) ** (piece / pieces)) for piece in range(1, pieces)} | {high}
    return np.array(sorted(edges))


def band_means(values, edges):
    """Means over the ranks of every band.

    Parameters
    ----------
    values : array, (..., rank)
    edges : array of int, (band + 1,)

    Returns
    -------
    array, (..., band)
    """
    return np.add.reduceat(values, edges[:-1], axis=-1) / np.diff(edges)


def band_sums(coefficients, edges):
    """Sums over the ranks of every band.

    Parameters
    ----------
    coefficients : array, (..., rank)
        Of all ranks of the bands.
    edges : array of int, (band + 1,)

    Returns
    -------
    array, (..., band)

    Raises
    ------
    ValueError
        If there are more ranks than the bands have.
    """
    if coefficients.shape[-1] > edges[-1]:
        raise ValueError(f"{coefficients.shape[-1]} ranks are more than the {edges[-1]} of the bands")
    return np.add.reduceat(coefficients, edges[:-1], axis=-1)
