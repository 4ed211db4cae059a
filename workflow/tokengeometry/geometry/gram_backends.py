"""What the sample Gram matrix needs beyond the operators that numpy and torch share: on the CPU, and on a GPU."""

import numpy as np
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from tokengeometry.operations.worker_threads import in_order

# Features of which a GPU adds products up in float32. It may well add one after the other, where the CPU adds blocks.
LENGTH = 512


class OnCPU:
    """By numpy.

    Parameters
    ----------
    products : {"float32", "float64"}
        In which the Gram matrix is multiplied out, but for massive features.
    threads : int
        Each multiplies pieces of its own.
    """

    def __init__(self, products, threads):
        self._products = np.dtype(products)
        self._threads = threads

    def in_order(self, multiply, pieces):
        """What a function makes of every piece.

        Parameters
        ----------
        multiply : callable
        pieces : iterable

        Yields
        ------
        object
        """
        with threadpool_limits(1):
            yield from in_order(multiply, pieces, self._threads)

    def zeros(self, *shape):
        """Zeros in float64.

        Parameters
        ----------
        *shape : int

        Returns
        -------
        array, shape
        """
        return np.zeros(shape)

    def double(self, values):
        """Values in float64, where the Gram matrix is.

        Parameters
        ----------
        values : array

        Returns
        -------
        array
        """
        return np.asarray(values, np.float64)

    def numpy(self, values):
        """Values as numpy has them.

        Parameters
        ----------
        values : array

        Returns
        -------
        array
        """
        return values

    def mean(self, values):
        """The mean over samples, in the precision of the products.

        Parameters
        ----------
        values : array, (sample, feature)

        Returns
        -------
        array, (feature,)
        """
        return values.mean(0, dtype=np.float64).astype(self._products)

    def centred(self, values, origin):
        """Values about an origin, in the precision of the products.

        Parameters
        ----------
        values : array, (sample, feature)
        origin : array, (feature,)

        Returns
        -------
        array, (sample, feature)
        """
        return np.subtract(values, origin).astype(self._products, copy=False)

    def squares(self, centred):
        """Of every feature, the sum of squares over samples.

        Parameters
        ----------
        centred : array, (sample, feature)

        Returns
        -------
        array, (feature,)
        """
        return np.einsum("nd,nd->d", centred, centred)

    def total(self, centred):
        """Of every feature, the sum over samples.

        Parameters
        ----------
        centred : array, (sample, feature)

        Returns
        -------
        array, (feature,), float64
        """
        return centred.sum(0, dtype=np.float64)

    def factor(self, centred, values, origin, massive):
        """One side of a product.

        Parameters
        ----------
        centred : array, (sample, feature)
            Changed in place.
        values : array, (sample, feature)
        origin : array, (feature,)
        massive : array of int, (massive,)

        Returns
        -------
        narrow : array, (sample, feature)
            `centred` without the massive features.
        wide : array, (sample, massive), float64, or None where there are none
        """
        if not len(massive):
            return centred, None
        wide = self.double(values[:, massive]) - self.double(origin[massive])
        centred[:, massive] = 0
        return centred, wide

    def product(self, left, right):
        """The products of samples with samples.

        Parameters
        ----------
        left, right : (array, array or None)
            As of `factor`.

        Returns
        -------
        array, (sample, other sample)
        """
        narrow = left[0] @ right[0].T
        return narrow if left[1] is None else narrow + left[1] @ right[1].T

    def eigenvalues(self, matrix):
        """All eigenvalues of a symmetric matrix.

        Parameters
        ----------
        matrix : array, (sample, sample), float64

        Returns
        -------
        array of numpy, (sample,), descending
        """
        with threadpool_limits(self._threads):
            return np.linalg.eigvalsh(matrix)[::-1]

    def eigensystem(self, matrix):
        """All eigenvalues of a symmetric matrix, and its eigenvectors.

        Parameters
        ----------
        matrix : array, (sample, sample), float64

        Returns
        -------
        values : array of numpy, (sample,), float64, descending
        vectors : array of numpy, (sample, rank), float64
        """
        with threadpool_limits(self._threads):
            values, vectors = np.linalg.eigh(matrix)
        return values[::-1], vectors[:, ::-1]

    def eigenvectors(self, matrix, count):
        """The eigenvectors of the largest eigenvalues.

        Parameters
        ----------
        matrix : array, (sample, sample), float64
        count : int

        Returns
        -------
        array, (sample, rank)
        """
        size = len(matrix)
        with threadpool_limits(self._threads):
            return eigh(matrix, subset_by_index=[size - count, size - 1])[1][:, ::-1]


class OnGPU(OnCPU):
    """The same in a CUDA device's memory, of torch tensors.

    Parameters
    ----------
    products : {"float32", "float64"}
    device : torch.device
    """

    def __init__(self, products, device):
        import torch

        self._torch, self._device, self._products = torch, device, getattr(torch, products)

    def in_order(self, multiply, pieces):
        yield from map(multiply, pieces)

    def zeros(self, *shape):
        return self._torch.zeros(shape, dtype=self._torch.float64, device=self._device)

    def double(self, values):
        return self._torch.as_tensor(values).to(self._device, self._torch.float64)

    def numpy(self, values):
        return values.cpu().numpy()

    def mean(self, values):
        return self.double(values).mean(0).to(self._products)

    def centred(self, values, origin):
        values = self._torch.as_tensor(values).to(self._device)
        return (values - origin).to(self._products)

    def squares(self, centred):
        return self._torch.linalg.vector_norm(centred, dim=0, dtype=self._torch.float64).square()

    def total(self, centred):
        return centred.sum(0, dtype=self._torch.float64)

    def product(self, left, right):
        if self._products == self._torch.float64:
            return super().product(left, right)
        (narrow, wide), (other, other_wide) = left, right
        found = self.zeros(len(narrow), len(other)) if wide is None else wide @ other_wide.T
        for one, another in zip(narrow.split(LENGTH, dim=1), other.split(LENGTH, dim=1), strict=True):
            found += one @ another.T
        return found

    def eigenvalues(self, matrix):
        return self._torch.linalg.eigvalsh(matrix).cpu().numpy()[::-1]

    def eigensystem(self, matrix):
        values, vectors = (found.cpu().numpy() for found in self._torch.linalg.eigh(matrix))
        return values[::-1], vectors[:, ::-1]

    def eigenvectors(self, matrix, count):
        return self._torch.linalg.eigh(matrix)[1][:, -count:].flip(1)
