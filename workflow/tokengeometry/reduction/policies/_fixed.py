"""Groups that are the same for all images: (token,), prefix tokens counted."""

import numpy as np

DROPPED = -1


def numbered(kept, prefix):
    """Groups of tokens that stay as they are, in their order, or are dropped.

    Parameters
    ----------
    kept : array of bool, (token,)
        Without the prefix tokens.
    prefix : int

    Returns
    -------
    array of int64, (prefix + token,)
    """
    alone = np.concatenate([np.ones(prefix, bool), kept])
    return np.where(alone, np.cumsum(alone) - 1, DROPPED)


def joined(count, pairs, prefix):
    """Groups after merges, one after the other.

    Parameters
    ----------
    count : int
        Tokens, without the prefix tokens.
    pairs : sequence of (int, int)
        What each merge joins: a token's number, or `count` + i for what merge i has made.
    prefix : int

    Returns
    -------
    array of int64, (prefix + count,)
    """
    label = np.arange(count)
    for index, pair in enumerate(pairs):
        label[np.isin(label, pair)] = count + index
    numbers = np.unique(label, return_inverse=True)[1]
    return np.concatenate([np.arange(prefix), prefix + numbers])
