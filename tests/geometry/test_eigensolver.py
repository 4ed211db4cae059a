"""LAPACK's eigensolver by its pointer: right in both dtypes, and without Python's lock."""

import math
import threading
import time

import numpy as np
import pytest
from scipy.linalg import eigh as scipys
from threadpoolctl import threadpool_limits
from tokengeometry.geometry.eigensolver import eigh


def covariance(rng, features, dtype):
    values = rng.normal(size=(2 * features + 1, features)) * np.arange(1, features + 1) ** -0.7
    return (values.T @ values).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("features", [1, 2, 17, 130])
def test_eigenvalues_and_vectors(rng, dtype, features):
    matrix = covariance(rng, features, dtype)
    kept = matrix.copy()
    values, vectors = eigh(matrix)
    assert values.dtype == vectors.dtype == dtype
    # It works in place, but of a copy.
    np.testing.assert_array_equal(matrix, kept)
    atol = 100 * np.finfo(dtype).eps * values[-1]
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix.astype(np.float64)), rtol=0, atol=atol)
    np.testing.assert_allclose(matrix @ vectors, values * vectors, rtol=0, atol=atol)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(features), atol=100 * np.finfo(dtype).eps)


def test_it_is_the_solver_that_scipy_calls(rng):
    matrix = covariance(rng, 90, "float32")
    for found, expected in zip(eigh(matrix), scipys(matrix, driver="evd"), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_lower_triangle_is_read(rng):
    matrix = covariance(rng, 20, "float64")
    np.testing.assert_array_equal(eigh(np.tril(matrix))[0], eigh(matrix)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_threads_go_on(rng, dtype):
    matrix = covariance(rng, 700, dtype)

    def longest_wait():
        """Of this thread, as a share of the time that the other one takes for a matrix."""
        done = threading.Event()

        def solve():
            eigh(matrix)
            done.set()

        thread, longest = threading.Thread(target=solve), 0.0
        start = last = time.perf_counter()
        thread.start()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            last, longest = now, max(longest, now - last)
        thread.join()
        return longest / (last - start) if longest else math.inf

    with threadpool_limits(1):
        # On a busy machine this thread may have to wait for a core.
        assert min(longest_wait() for _ in range(5)) < 0.5
