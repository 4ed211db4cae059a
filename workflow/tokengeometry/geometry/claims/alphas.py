"""α of a branch's tokens over its layers, with what every image does to each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tokengeometry.geometry.clusters import complete_trajectories
from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.geometry.uncertainty import fits
from tokengeometry.geometry.uncertainty.stores import read as read_folded

NO_FOLDS = "uncertainty.folds is 0"


@dataclass(frozen=True)
class Alphas:
    """α of tokens, NaN where there is none.

    Attributes
    ----------
    layers : array of int, (layer,)
        Ascending.
    tokens : pandas.DataFrame
        As of `tokengeometry.model.tokens.token_table`.
    alpha, corrected : array, (token, layer), float64
        As fitted, and less its bias in N. Without folds they are the same.
    influence : array, (token, layer, image), float32; or None
        ψ of the images in the folds. Without folds there is none.
    samples : int
        N.
    doubts : array of str, (token, layer)
        Why an interval is not to be trusted.
    """

    layers: np.ndarray
    tokens: pd.DataFrame
    alpha: np.ndarray
    corrected: np.ndarray
    influence: np.ndarray | None
    samples: int
    doubts: np.ndarray

    def mean(self, tokens, layers):
        """The mean of corrected α over some tokens at every one of some layers.

        Parameters
        ----------
        tokens, layers : array of int
            Positions.

        Returns
        -------
        values : array, (layer,)
        influence : array, (layer, image), float64; or None
        """
        values = self.corrected[np.ix_(tokens, layers)].mean(axis=0)
        if self.influence is None:
            return values, None
        return values, np.stack([self.influence[tokens, layer].mean(axis=0, dtype=np.float64) for layer in layers])

    def doubt(self, tokens, layers):
        """The first doubt about some tokens at some layers, or nothing.

        Parameters
        ----------
        tokens, layers : array of int
            Positions.

        Returns
        -------
        str
        """
        found = self.doubts[np.ix_(tokens, layers)].ravel()
        return next((its for its in found if its), "")

    def spatial(self):
        """Spatial tokens and the layers from 1 on at which each of them has α.

        Returns
        -------
        tokens, layers : array of int
            Positions.
        """
        tokens = np.flatnonzero(self.tokens.kind == "spatial")
        later = np.flatnonzero(self.layers >= 1)
        its, complete = complete_trajectories(self.corrected[np.ix_(tokens, later)])
        return tokens[its], later[complete]

    def cls(self):
        """CLS and the layers from 1 on at which it has α.

        Returns
        -------
        token, layers : array of int
            Positions; empty where there is no CLS.
        """
        token = np.flatnonzero(self.tokens.name == "cls")
        return token, np.flatnonzero(np.isfinite(self.corrected[token]).all(axis=0) & (self.layers >= 1)) if len(
            token
        ) else np.empty(0, int)


def read(table, tokens, spectra, folded, *, ranks, weights):
    """α as `alpha.csv` has it, with the influences.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `tokengeometry.tables.alpha_table`.
    tokens : pandas.DataFrame
        As of `tokengeometry.model.tokens.token_table`.
    spectra, folded : dict of int to open store
        By layer. Without folds, the last is empty.
    ranks, weights
        Of the configuration's `fit`.

    Returns
    -------
    Alphas
    """
    layers = np.array(sorted(spectra))
    single = table[table.kind.isin(["prefix", "spatial"])]

    def grid(column):
        return single.pivot(index="token", columns="layer", values=column).reindex(index=tokens.token, columns=layers)

    alpha, corrected = (grid(column).to_numpy(np.float64, na_value=np.nan) for column in ("alpha", "alpha_corrected"))
    samples = int(spectra[layers[-1]].attributes["samples"])
    if not folded:
        doubts = np.full(alpha.shape, NO_FOLDS, object)
        return Alphas(layers, tokens, alpha, alpha, None, samples, doubts)
    images = int(folded[layers[-1]].attributes["samples"])
    influence = np.full((*alpha.shape, images), np.nan, np.float32)
    for position, layer in enumerate(layers):
        eigenvalues = spectra[layer]["eigenvalues"][:]
        its = read_folded(folded[layer], "token")
        if ranks[1] > its.edges[-1]:
            continue
        used = resolved(eigenvalues, spectra[layer]["floor"][:], samples)
        found = fits.influence(its, fits.coefficients(used, ranks, weights).alpha)
        # Layer 0 has no prefix tokens.
        influence[len(tokens) - len(found) :, position] = found
    influence[~np.isfinite(corrected)] = np.nan
    return Alphas(layers, tokens, alpha, corrected, influence, samples, grid("doubt").fillna("").to_numpy(object))
