"""The order in which a branch's parts are merged: a binary tree over their numbers.

A node covers parts that follow one another: 2^k full ones from a multiple of 2^k on. A leaf is a single part. A node of
more has two children, its halves. So two neighbours can be merged as soon as both are there, and of n parts that come
one after the other about log₂ n nodes wait for more.
"""


def roots(full, parts):
    """The largest nodes that cover a branch's parts.

    Parameters
    ----------
    full : int
        How many parts are full, the first ones.
    parts : int
        All parts: as many, or one more.

    Returns
    -------
    list of (int, int)
        First and last part of each, in order. More full parts merge these nodes or add to them, and change none.
    """
    found, first = [], 0
    while first < full:
        length = 1 << (full - first).bit_length() - 1
        found.append((first, first + length - 1))
        first += length
    # One that is not full changes as samples are added.
    return found + [(part, part) for part in range(full, parts)]


def children(first, last):
    """The two halves of a node of more than one part.

    Parameters
    ----------
    first, last : int
        Its parts.

    Returns
    -------
    list of (int, int)
        First and last part of each.

    Raises
    ------
    ValueError
        If there is no such node.
    """
    length = last - first + 1
    if length < 2 or length & (length - 1) or first % length:
        raise ValueError(f"parts {first} to {last} are no node: 2, 4, 8, … parts from a multiple of as many on")
    middle = first + length // 2
    return [(first, middle - 1), (middle, last)]
