"""Symmetric matrices without the half of them that says nothing new.

Of a matrix of D×D the upper triangle is kept, row by row: D values of the first row, D − 1 of the second from the
diagonal on, …, 1 of the last; D(D+1)/2 in all.
"""

import math

import numpy as np

# Of a square that is mirrored at a time: it and its mirror image stay in the processor's cache.
SQUARE = 64


def length(features):
    """How many values a triangle has.

    Parameters
    ----------
    features : int
        Rows of the matrix.

    Returns
    -------
    int
    """
    return features * (features + 1) // 2


def _features_of(values):
    """How many rows the matrix has whose triangle has so many values."""
    features = (math.isqrt(8 * values + 1) - 1) // 2
    if length(features) != values:
        raise ValueError(f"{values} values are no triangle of a matrix; one of 384 rows has {length(384)}")
    return features


def _rows(features):
    """The rows of a triangle: each with its values' place, as pairs (row, slice)."""
    start = 0
    for row in range(features):
        yield row, slice(start, start + features - row)
        start += features - row


def pack_scatter(matrices):
    """The triangles of scatter matrices.

    Parameters
    ----------
    matrices : array, (matrix, feature, feature)
        Symmetric; their upper triangles are read.

    Returns
    -------
    array, (matrix, feature pair)
        Of the same dtype.
    """
    features = matrices.shape[-1]
    packed = np.empty((len(matrices), length(features)), matrices.dtype)
    for row, place in _rows(features):
        packed[:, place] = matrices[:, row, row:]
    return packed


def unpack_scatter(triangles):
    """Scatter matrices from their triangles.

    Parameters
    ----------
    triangles : array, (..., feature pair)
        As a moment store has them in `scatter`: of each matrix the upper triangle, row by row.

    Returns
    -------
    array, (..., feature, feature)
        Of the same dtype.

    Raises
    ------
    ValueError
        If the number of pairs is no triangle's.

    Examples
    --------
    >>> layer = open_store("results/dinov2_vits14/fashion_mnist/test/moments/layer_06/part_000.zarr")
    >>> unpack_scatter(layer["scatter"][0])  # of the first token
    """
    triangles = np.asarray(triangles)
    features = _features_of(triangles.shape[-1])
    packed = triangles.reshape(-1, triangles.shape[-1])
    matrices = np.empty((len(packed), features, features), triangles.dtype)
    for row, place in _rows(features):
        matrices[:, row, row:] = packed[:, place]
    for matrix in matrices:
        _mirror(matrix)
    return matrices.reshape(*triangles.shape[:-1], features, features)


def _mirror(matrix):
    """Write the upper triangle of a matrix into its lower one."""
    features = len(matrix)
    for start in range(0, features, SQUARE):
        stop = min(start + SQUARE, features)
        square = matrix[start:stop, start:stop]
        upper = np.triu(square)
        square[...] = upper + np.triu(upper, 1).T
        for right in range(stop, features, SQUARE):
            matrix[right : right + SQUARE, start:stop] = matrix[start:stop, right : right + SQUARE].T


def add_outer(triangles, left, right):
    """Add to each triangle that of the outer product of two vectors, in place.

    Parameters
    ----------
    triangles : array, (matrix, feature pair)
    left, right : array, (matrix, feature)
        Of each product, which is symmetric, the values left_i · right_j with i ≤ j are added.
    """
    for row, place in _rows(left.shape[-1]):
        triangles[:, place] += left[:, row, None] * right[:, row:]
