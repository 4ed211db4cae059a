"""Neighbours are pooled, evenly over the image: pairs of columns, then of rows, then of columns again, and so on.

The order is one for the whole model: a block takes up where the block before has ended. Within a round the pairs go in
the order of the golden ratio's multiples, which spreads any number of them evenly.
"""

import numpy as np

from tokengeometry.reduction.policies._fixed import joined

FIXED = True


def group(tokens, keys, sizes, layer):
    members = layer.members()
    holder = members.argmax(axis=0)
    before = layer.grid[0] * layer.grid[1] - len(members)
    pairs, label = [], np.arange(len(members))
    for index, places in enumerate(merges(layer.grid)[before : before + layer.remove]):
        pair = label[holder[list(places)]]
        pairs.append(pair)
        label[np.isin(label, pair)] = len(members) + index
    return joined(len(members), pairs, layer.prefix)


def merges(grid):
    """All merges until one cell is left.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    array of int64, (merge, 2)
        The first place of each of two cells that become one.
    """
    cell, found = np.indices(grid), []
    place = np.arange(grid[0] * grid[1]).reshape(grid)
    axis = 1
    while len(found) < place.size - 1:
        neighbours = _neighbours(cell, place, axis)
        order = np.argsort(np.arange(len(neighbours)) * ((np.sqrt(5) - 1) / 2) % 1)
        found += [neighbours[index] for index in order]
        cell[axis] //= 2
        axis = 1 - axis
    return np.array(found)


def _neighbours(cell, place, axis):
    """The first places of every two cells that the next round pools along an axis."""
    firsts = {}
    for row, column, its in zip(*(values.ravel() for values in cell), place.ravel(), strict=True):
        firsts.setdefault((row, column), its)
    pairs = []
    for (row, column), its in firsts.items():
        here = (row, column)[axis]
        beside = (row, column + 1) if axis else (row + 1, column)
        if here % 2 == 0 and beside in firsts:
            pairs.append((its, firsts[beside]))
    return pairs
