"""How much variance rounding alone makes."""

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


def eigenvalue_floor(largest, mean_square, size, dtypes, *, samples, dimensions):
    """The size of eigenvalue that rounding alone makes.

    The largest of the covariance of rounding noise, (1 + √(D/N))² of its variance (Marchenko & Pastur 1967), or the
    error of the symmetric eigensolver, about the matrix's order times ε₆₄ λ₁.

    Parameters
    ----------
    largest : array, (...)
        λ₁.
    mean_square : array, (...)
        The mean over samples and features of x².
    size : int
        The order of the matrix.
    dtypes : iterable of str
    samples, dimensions : int
        N and D.

    Returns
    -------
    array, (...)
    """
    solver = size * np.finfo(np.float64).eps * np.abs(largest)
    edge = (1 + np.sqrt(dimensions / samples)) ** 2
    return np.maximum(solver, edge * rounding_variance(mean_square, dtypes))


def product_floor(trace, samples):
    """The size of eigenvalue that products in float32 make, where the Gram matrix of samples is summed from them.

    Rounding is less than about 4 ε of an entry's size, which is the trace on average. Of an N×N matrix of such
    errors, divided by N, the largest eigenvalue is 2/√N times that (Wigner 1955). Errors that are alike for similar
    samples only add to the eigenvalues that those samples make, in their seventh digit. The floor counts whatever
    the device multiplied in, so that it doesn't depend on the device.

    Parameters
    ----------
    trace : float
        Of the covariance: the sum of the eigenvalues.
    samples : int
        N.

    Returns
    -------
    float
    """
    return 8 * EPSILON["float32"] * trace / np.sqrt(samples)
