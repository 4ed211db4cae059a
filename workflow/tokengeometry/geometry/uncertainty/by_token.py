"""Activations token by token: of an array in memory a view, else copied batch by batch."""

import numpy as np

from tokengeometry.storage.chunk_sizes import batch_rows


def by_token(samples, tokens, count):
    """Some tokens of the first samples.

    Parameters
    ----------
    samples : array-like, (sample, token, feature)
        Sliced along its first axis only.
    tokens : slice
    count : int
        The first so many samples.

    Returns
    -------
    array, (token, sample, feature)
        In the dtype of the samples; not to be changed.
    """
    if isinstance(samples, np.ndarray):
        return samples[:count, tokens].transpose(1, 0, 2)
    values = np.empty((tokens.stop - tokens.start, count, samples.shape[2]), samples.dtype)
    step = batch_rows(*samples.shape[1:])
    for start in range(0, count, step):
        stop = min(start + step, count)
        values[:, start:stop] = np.asarray(samples[start:stop])[:, tokens].transpose(1, 0, 2)
    return values
