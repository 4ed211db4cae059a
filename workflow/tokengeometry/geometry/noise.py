"""The noise in a layer's numbers: its variance along directions of feature space.

Three kinds: rounding to the coarsest dtype on the way; the rounding of 8-bit images, at layer 0; and what a chain that
is coarser than float32 makes, measured on some of the study's own samples.
"""

from dataclasses import dataclass

import numpy as np

from tokengeometry.data import eight_bit
from tokengeometry.geometry.noise_floor import rounding_variance


@dataclass(frozen=True)
class EightBit:
    """The rounding of images to 8 bits, as the model sees them: of variance step²/12 a value.

    The channels of a grey image have one rounding in common.

    Attributes
    ----------
    step : tuple of float, (channel,)
        1/255 in the unit of the pixels.
    grey, colour : float
        The share of the samples that are such images; the others have no such rounding.
    """

    step: tuple
    grey: float
    colour: float

    @classmethod
    def of(cls, summaries):
        """Of all images of several parts.

        Parameters
        ----------
        summaries : sequence of dict or None
            As of `tokengeometry.data.eight_bit.summary`; None for a layer that isn't the pixels.

        Returns
        -------
        EightBit or None
            None where no image has such rounding.
        """
        found = eight_bit.together(summaries)
        if found is None or not found["grey"] + found["colour"]:
            return None
        return cls(tuple(found["step"]), *(found[name] / found["samples"] for name in ("grey", "colour")))

    def bounds(self):
        """The least and the most along any direction in which images differ: grey ones only in grey.

        Returns
        -------
        smallest, largest : float
        """
        squares = np.square(self.step)
        least = self.colour * squares.min() if self.colour else self.grey * squares.sum()
        return least / 12, (self.grey * squares.sum() + self.colour * squares.max()) / 12

    def variances(self, features):
        """Of every feature of a patch, ordered (channel, row, column).

        Parameters
        ----------
        features : int

        Returns
        -------
        array, (feature,)
        """
        return np.repeat(np.square(self.step) / 12 * (self.grey + self.colour), features // len(self.step))

    def along(self, vectors):
        """Along directions.

        Parameters
        ----------
        vectors : array, (..., feature, rank)

        Returns
        -------
        array, (..., rank)
        """
        channels = vectors.reshape(*vectors.shape[:-2], len(self.step), -1, vectors.shape[-1])
        channels = channels * np.asarray(self.step)[:, None, None]
        shared = np.square(channels.sum(axis=-3)).sum(axis=-2)
        return (self.grey * shared + self.colour * np.square(channels).sum(axis=(-3, -2))) / 12


class Noise:
    """All noise of a layer.

    Parameters
    ----------
    dtypes : iterable of str
        Of the computation and of the stored activations.
    images : EightBit, optional
        Of layer 0.
    differences : array, (sample, token, feature), optional
        Of some samples' activations from what they are in float32. They have the rounding of the dtypes in them,
        which is then not counted again.
    """

    def __init__(self, dtypes, images=None, differences=None):
        self.dtypes, self.images = tuple(dtypes), images
        self.differences = None
        if differences is not None:
            centred = differences - differences.mean(axis=0, dtype=np.float64).astype(differences.dtype)
            self.differences = centred / np.float32(max(1, len(centred) - 1) ** 0.5)

    @classmethod
    def of(cls, parts, dtypes, differences=None):
        """Of the layer whose stores these parts are.

        Parameters
        ----------
        parts : sequence of open stores
            Of activations or of moments; those of layer 0 with an attribute `eight_bit`.
        dtypes : iterable of str
        differences : open store, optional
            As of `tokengeometry.activations.measured_noise.write`.

        Returns
        -------
        Noise
        """
        images = EightBit.of([part.attributes.get("eight_bit") for part in parts])
        return cls(dtypes, images, None if differences is None else differences["difference"][:])

    def variances(self, mean_square):
        """Of every feature, but for the measured noise.

        Parameters
        ----------
        mean_square : array, (..., feature)
            The mean of x² over the samples.

        Returns
        -------
        array, (..., feature)
        """
        found = self._rounding(mean_square)
        return found if self.images is None else found + self.images.variances(mean_square.shape[-1])

    def bounds(self, mean_square):
        """The least and the most along any direction, but for the measured noise.

        Parameters
        ----------
        mean_square : array, (..., feature)
            As of `variances`.

        Returns
        -------
        smallest, largest : float
        """
        rounding = self._rounding(mean_square)
        least, most = (0.0, 0.0) if self.images is None else self.images.bounds()
        return least + rounding.min(), most + rounding.max()

    def along(self, vectors, mean_square, tokens):
        """Along directions of each of some tokens.

        Parameters
        ----------
        vectors : array, (token, feature, rank)
        mean_square : array, (token, feature)
            The mean of x² over the samples.
        tokens : slice
            Which tokens of the layer they are.

        Returns
        -------
        array, (token, rank)
        """
        found = self.along_unmeasured(vectors, mean_square)
        if self.differences is not None:
            for row, differences, directions in zip(
                found, self.differences[:, tokens].transpose(1, 0, 2), vectors, strict=True
            ):
                row += np.square(differences @ directions).sum(axis=0)
        return found

    def along_pooled(self, vectors, mean_square):
        """Along directions that all tokens have in common: the mean over the tokens.

        Parameters
        ----------
        vectors : array, (feature, rank)
        mean_square : array, (feature,)
            The mean of x² over samples and tokens.

        Returns
        -------
        array, (rank,)
        """
        found = self.along_unmeasured(vectors[None], mean_square[None])[0]
        if self.differences is not None:
            tokens = self.differences.shape[1]
            found += sum(np.square(sample @ vectors).sum(axis=0) for sample in self.differences) / tokens
        return found

    def along_averaged(self, vectors, mean_square, tokens):
        """Along directions of the averaged token: the tokens' roundings are independent, and average out.

        Parameters
        ----------
        vectors : array, (feature, rank)
        mean_square : array, (feature,)
            The mean of x² over samples and tokens.
        tokens : int

        Returns
        -------
        array, (rank,)
        """
        found = self.along_unmeasured(vectors[None], mean_square[None])[0] / tokens
        if self.differences is not None:
            found += np.square(self.differences.mean(axis=1) @ vectors).sum(axis=0)
        return found

    def along_unmeasured(self, vectors, mean_square):
        """As `along`, but for the measured noise, and of any leading axes.

        Parameters
        ----------
        vectors : array, (..., feature, rank)
        mean_square : array, (..., feature)
            The mean of x².

        Returns
        -------
        array, (..., rank)
        """
        found = np.einsum("...f,...fr->...r", self._rounding(mean_square), np.square(vectors))
        return found if self.images is None else found + self.images.along(vectors)

    def _rounding(self, mean_square):
        if self.differences is not None:
            return np.zeros_like(mean_square)
        return rounding_variance(mean_square, self.dtypes)
