"""LAPACK's eigensolver for symmetric matrices, in float32 or float64, side by side in threads.

scipy holds Python's lock while LAPACK works, so that its threads wait for each other. numpy does not, but computes
float32 in float64, which takes twice the time. Both call `syevd`; so does this, through the pointer that scipy exports.
"""

import ctypes
import functools

import numpy as np
from scipy import LowLevelCallable
from scipy.linalg import cython_lapack

_ROUTINES = {np.dtype(np.float64): "dsyevd", np.dtype(np.float32): "ssyevd"}


def eigh(matrix):
    """Eigenvalues and eigenvectors of a symmetric matrix, without Python's lock.

    Parameters
    ----------
    matrix : array, (feature, feature), float32 or float64
        Its lower triangle is read.

    Returns
    -------
    values : array, (rank,), ascending
    vectors : array, (feature, rank)
        Both in the matrix's dtype.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the solver does not converge. Of entries that are not finite it may make NaN.
    """
    size = len(matrix)
    # LAPACK's order; it works in place.
    vectors = np.array(matrix, order="F")
    values = np.empty(size, matrix.dtype)
    lengths = _workspace(matrix.dtype, size)
    info = _call(vectors, values, np.empty(lengths[0], matrix.dtype), np.empty(lengths[1], np.int32))
    if info:
        raise np.linalg.LinAlgError(f"{_ROUTINES[matrix.dtype]} found no eigenvalues of a matrix: {info}")
    return values, vectors


@functools.cache
def _workspace(dtype, size):
    """How long the arrays are that the solver works in: of the dtype, and of whole numbers."""
    work, whole = np.empty(1, dtype), np.empty(1, np.int32)
    _call(np.empty((size, size), dtype, order="F"), np.empty(size, dtype), work, whole, asked=True)
    return int(work[0]), int(whole[0])


def _call(vectors, values, work, whole, *, asked=False):
    size = ctypes.c_int(len(values))
    lengths = [ctypes.c_int(-1 if asked else len(its)) for its in (work, whole)]
    info = ctypes.c_int()

    def at(array):
        return ctypes.c_void_p(array.ctypes.data)

    by = ctypes.byref
    _routine(vectors.dtype)(
        *(ctypes.c_char_p(b"V"), ctypes.c_char_p(b"L"), by(size), at(vectors), by(size), at(values)),
        *(at(work), by(lengths[0]), at(whole), by(lengths[1]), by(info)),
    )
    return info.value


@functools.cache
def _routine(dtype):
    exported = LowLevelCallable.from_cython(cython_lapack, _ROUTINES[dtype])
    if not exported.signature.startswith("void (char *, char *, int *,"):
        raise RuntimeError(f"this scipy's LAPACK counts in other integers: {exported.signature}; use the pinned one")
    # Prototypes of our own: those of `pythonapi` are everybody's.
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    pointer = pointer_of(exported.function, name_of(exported.function))
    # A function of this kind is called without Python's lock.
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 11)(pointer)
