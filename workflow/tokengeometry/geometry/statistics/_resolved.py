"""Which eigenvalues of a spectrum are data."""

import numpy as np


def resolved(eigenvalues, floor, samples=None):
    """Which eigenvalues are data: above their floor, and within the rank of N centred samples.

    Parameters
    ----------
    eigenvalues : array, (..., rank)
        In descending order.
    floor : float or array, broadcast to `eigenvalues`
    samples : int, optional
        N; ranks beyond N − 1 are empty by centring.

    Returns
    -------
    array of bool, (..., rank)
    """
    above = eigenvalues > np.maximum(floor, 0)
    return above if samples is None else above & (np.arange(1, eigenvalues.shape[-1] + 1) < samples)


def of_resolved(function, eigenvalues, floor, samples):
    """`function` of spectra, (..., rank) to (...), in which what is not resolved is 0.

    Parameters
    ----------
    function : callable
    eigenvalues, floor, samples
        As of `resolved`.

    Returns
    -------
    value : array, (...), float64
        NaN where nothing is resolved.
    reason : array of str, (...)
        "constant" where it is NaN.
    """
    values = np.where(resolved(eigenvalues, floor, samples), eigenvalues, 0.0)
    varies = values.any(axis=-1)
    # In place of a spectrum that is 0, any other; what comes of it is not used.
    value = np.where(varies, function(np.where(varies[..., None], values, 1.0)), np.nan)
    return value, np.where(varies, "", "constant")
