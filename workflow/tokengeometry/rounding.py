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


def eigenvalue_floor(largest, mean_square, size, dtypes):
    """The size of eigenvalue that rounding alone makes.

    The noise of rounded features, or the error of the symmetric eigensolver, about D ε₆₄ λ₁.

    Parameters
    ----------
    largest : array, (...)
        λ₁.
    mean_square : array, (...)
        The mean over samples and features of x².
    size : int
        D, the order of the matrix.
    dtypes : iterable of str

    Returns
    -------
    array, (...)
    """
    solver = size * np.finfo(np.float64).eps * np.abs(largest)
    return np.maximum(solver, rounding_variance(mean_square, dtypes))
