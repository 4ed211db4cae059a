"""How much variance rounding alone makes, and which eigenvalues that leaves."""

import numpy as np

# Distance from 1 to the next number; numpy has no bfloat16.
EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def rounding_variance(mean_square, dtypes):
    """Variance that rounding to a dtype adds to values of this size: up to (ε x)²/12 for a value x.

    Parameters
    ----------
    mean_square : array, (...)
        The mean of x².
    dtypes : iterable of str
        Of the computation and of the stored activations; the coarsest counts.

    Returns
    -------
    array, (...)
    """
    return max(EPSILON[dtype] for dtype in dtypes) ** 2 / 12 * mean_square


def noise_below(noise, samples, *, total=None):
    """How much the noise of later ranks lifts an eigenvalue: β_j = Σ_{k>j} n_k / N; see `eigenvalue_floor`.

    Parameters
    ----------
    noise : array, (..., rank)
        n_j, by rank; or less, for ranks of which it is not known.
    samples : int
        N.
    total : array, (...), optional
        The noise of all directions, where there are more than ranks; by default the sum of `noise`.

    Returns
    -------
    array, (..., rank)
    """
    total = noise.sum(axis=-1) if total is None else np.asarray(total)
    return np.clip(total[..., None] - np.cumsum(noise, axis=-1), 0, None) / samples


def eigenvalue_floor(noise, below):
    """The eigenvalues that noise has doubled: what is not above them is more noise than data.

    Noise adds n_j to λ_j, its own variance along the eigenvector; and being correlated with the data by chance, in
    finitely many samples, it lifts λ_j off the directions below by the factor 1 + β_j/λ_j. The floor is 2 λ where
    λ + n + β + nβ/λ = 2 λ. Where noise is the same in D directions these are the eigenvalues of the spiked covariance
    (Baik & Silverstein 2006), and the floor is above the largest eigenvalue of noise alone, (1 + √(D/N))² n
    (Marchenko & Pastur 1967).

    Parameters
    ----------
    noise : array, (..., rank)
        n_j.
    below : array, (..., rank)
        β_j, as of `noise_below`.

    Returns
    -------
    array, (..., rank)
    """
    both = noise + below
    return both + np.sqrt(both**2 + 4 * noise * below)


def solver_floor(largest, size):
    """The error of a symmetric eigensolver: about the matrix's order times ε₆₄ λ₁.

    Parameters
    ----------
    largest : array, (...)
        λ₁.
    size : int
        The order of the matrix.

    Returns
    -------
    array, (...)
    """
    return size * np.finfo(np.float64).eps * np.abs(largest)


def product_floor(trace, samples):
    """The size of eigenvalue that products in float32 make, where the Gram matrix of samples is summed from them.

    Rounding is less than about 4 ε of an entry's size, which is the trace on average. Of an N×N matrix of such
    errors, divided by N, the largest eigenvalue is 2/√N times that (Wigner 1955). Errors that are alike for similar
    samples only add to the eigenvalues that those samples make, in their seventh digit. The floor counts whatever
    the device multiplied in, so that it doesn't depend on the device.

    Parameters
    ----------
    trace : float
        Of the covariance of the features that are multiplied in float32: the sum of its eigenvalues.
    samples : int
        N.

    Returns
    -------
    float
    """
    return 8 * EPSILON["float32"] * trace / np.sqrt(samples)
