"""What a policy may know of the block whose tokens it reduces."""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Layer:
    """A block's place in the model, how many of its tokens go, and the geometry of the layer that it makes.

    Attributes
    ----------
    number : int
        Of the block, from 1, and so of the layer that it makes.
    remove : int
        How many tokens go here.
    prefix : int
        How many prefix tokens there are. They come first, and stay.
    grid : (int, int)
        Rows and columns of spatial tokens at the model's input.
    places : torch.Tensor, (sample, place), int64
        For every spatial token of the model's input, which of the block's tokens holds it; −1 where it is gone.
    alpha : array, (place,), float64, or None
        α of the spatial tokens; NaN where there is none.
    correlation : array, (place, place), float64, or None
        Between spatial tokens; NaN where undefined.
    seed : int
        Of a policy that draws numbers.
    """

    number: int
    remove: int
    prefix: int
    grid: tuple
    places: object = None
    alpha: np.ndarray | None = None
    correlation: np.ndarray | None = None
    seed: int = 0

    def random(self):
        """A generator of this block and seed.

        Returns
        -------
        numpy.random.Generator
        """
        return np.random.default_rng([self.seed, self.number])

    def members(self):
        """Which spatial tokens of the input each of the block's tokens holds, in the first image.

        Returns
        -------
        array of bool, (token, place)
            Without the prefix tokens.
        """
        held = self.places[0].cpu().numpy() - self.prefix
        return np.arange(held.max() + 1)[:, None] == held

    def of_tokens(self, values):
        """The mean, over the places that a token holds, of what places have.

        Parameters
        ----------
        values : array, (place,)

        Returns
        -------
        array, (token,), float64
            Without the prefix tokens; NaN where no place of a token has a value.
        """
        held = self.members() & ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return (held * np.nan_to_num(values)).sum(axis=1) / held.sum(axis=1)


@dataclass(frozen=True)
class Geometry:
    """What a study knows of a model's layers, as far as policies take it.

    Attributes
    ----------
    alpha : dict of int to array, (place,), float64
        By layer, α of the spatial tokens.
    correlation : dict of int to array, (place, place), float64
        By layer, between the spatial tokens.
    """

    alpha: dict = field(default_factory=dict)
    correlation: dict = field(default_factory=dict)

    def at(self, layer):
        """The same layer with its geometry.

        Parameters
        ----------
        layer : Layer

        Returns
        -------
        Layer
        """
        return replace(layer, alpha=self.alpha.get(layer.number), correlation=self.correlation.get(layer.number))
