"""All that says how sure the numbers of a layer are, from its first images."""

import math
from dataclasses import dataclass

import numpy as np

from tokengeometry.geometry.noise_floor import rounding_variance
from tokengeometry.geometry.uncertainty import similarity, spectra
from tokengeometry.geometry.uncertainty.similarity import Similarity
from tokengeometry.storage.chunk_sizes import BLOCK_BYTES, batch_rows


@dataclass(frozen=True)
class Layer:
    """What `of_layer` finds.

    Attributes
    ----------
    spectra : dict of str to tokengeometry.geometry.uncertainty.spectra.Folded
        Of "token", "averaged" and "pooled".
    similarity : tokengeometry.geometry.uncertainty.similarity.Similarity
        With errors of so many images as were taken.
    """

    spectra: dict
    similarity: Similarity


def of_layer(samples, folds, prefix_tokens, *, dtypes, threads=1):
    """Take a layer's first images apart.

    Parameters
    ----------
    samples : array-like, (sample, token, feature)
        Sliced along its first axis only.
    folds : int
        For spectra.
    prefix_tokens : sequence of str
        Names of the tokens before the spatial ones.
    dtypes : iterable of str
        Of the computation and of the stored activations.
    threads : int

    Returns
    -------
    Layer
    """
    if 4 * math.prod(samples.shape) <= BLOCK_BYTES:
        # Read once for all that follows.
        samples = np.asarray(samples[:])
    first = np.asarray(samples[: batch_rows(*samples.shape[1:])]).astype(np.float32, copy=False)
    floor = rounding_variance(np.einsum("ntd,ntd->t", first, first) / (len(first) * first.shape[2]), dtypes)
    del first
    alike = similarity.of_layer(samples, prefix_tokens, count=samples.shape[0], floor=floor, threads=threads)
    return Layer(spectra.of_layer(samples, folds, threads=threads), alike)
