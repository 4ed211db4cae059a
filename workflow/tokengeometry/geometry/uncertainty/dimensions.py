"""How many dimensions tokens have, with standard errors: what α, which begins behind the first ranks, does not see.

Both numbers are functions f of the eigenvalues. To first order image n moves f by ψ_n/N, with
ψ_n = Σ_j (∂f/∂log λ_j) (q_nj − 1) and the scores q of `tokengeometry.geometry.uncertainty.spectra`. They have no
correction in N: the leading eigenvalues, which decide them, have little bias.
"""

from dataclasses import dataclass

import numpy as np

from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.geometry.uncertainty import fits
from tokengeometry.geometry.uncertainty.bands import LEADING, band_sums
from tokengeometry.geometry.uncertainty.stores import read_tokens
from tokengeometry.model.tokens import layer_tokens


@dataclass(frozen=True)
class Trajectories:
    """Means over some tokens of a branch, layer by layer.

    Attributes
    ----------
    layers : array of int, (layer,)
        Ascending.
    tokens : array of int, (layer,)
        How many of the tokens vary; means are over these, and NaN where none does.
    values : dict of str to array, (layer,)
        By the name of the measure; see `MEASURES`.
    influence : dict of str to array, (layer, image); or None
        ψ of the images in the folds. Without folds there is none.
    samples : int
        N.
    """

    layers: np.ndarray
    tokens: np.ndarray
    values: dict
    influence: dict | None
    samples: int


def participation_ratio(eigenvalues):
    """(Σλ)² / Σλ², and its derivatives in log λ.

    Parameters
    ----------
    eigenvalues : array, (..., rank)
        Not all 0.

    Returns
    -------
    value : array, (...)
    derivatives : array, (..., rank)
    """
    total, squares = (its.sum(axis=-1, keepdims=True) for its in (eigenvalues, eigenvalues**2))
    ratio = total**2 / squares
    return ratio[..., 0], 2 * ratio * (eigenvalues / total - eigenvalues**2 / squares)


def leading_share(eigenvalues):
    """The share of the variance in the first ranks, and its derivatives in log λ.

    Parameters
    ----------
    eigenvalues : array, (..., rank)
        Not all 0.

    Returns
    -------
    value : array, (...)
    derivatives : array, (..., rank)
    """
    shares = eigenvalues / eigenvalues.sum(axis=-1, keepdims=True)
    first = np.arange(eigenvalues.shape[-1]) < LEADING
    share = shares[..., first].sum(axis=-1, keepdims=True)
    return share[..., 0], shares * (first - share)


MEASURES = {"participation_ratio": participation_ratio, "leading_share": leading_share}


def of_group(spectra, folded, model, group):
    """Trajectories of the mean over CLS, or over the spatial tokens.

    Parameters
    ----------
    spectra, folded : dict of int to open store
        By layer. Without folds, the last is empty.
    model : dict
        The content of `model.json`.
    group : {"cls", "spatial"}

    Returns
    -------
    Trajectories
        Of the layers that have such tokens.
    """
    layers, tokens, rows, samples = [], [], [], 0
    for layer, store in sorted(spectra.items()):
        names = layer_tokens(model, layer)
        inside = np.flatnonzero((names.kind == "spatial") if group == "spatial" else (names.name == "cls"))
        if not len(inside):
            continue
        samples = int(store.attributes["samples"])
        found, count = _of_layer(store, folded.get(layer), inside, samples)
        layers.append(layer)
        tokens.append(count)
        rows.append(found)
    values = {name: np.array([row[name][0] for row in rows]) for name in MEASURES}
    influence = {name: np.array([row[name][1] for row in rows]) for name in MEASURES} if folded else None
    return Trajectories(np.array(layers, int), np.array(tokens, int), values, influence, samples)


def _of_layer(store, folded, inside, samples):
    """By measure the mean and its ψ, or None; and over how many tokens."""
    eigenvalues = store["eigenvalues"][:][inside]
    used = resolved(eigenvalues, store["floor"][:][inside], samples)
    varies = used.any(axis=1)
    images = 0 if folded is None else folded.attributes["samples"]
    if not varies.any():
        return {name: (np.nan, np.full(images, np.nan)) for name in MEASURES}, 0
    inside, eigenvalues = inside[varies], np.where(used, eigenvalues, 0.0)[varies]
    measured = [measure(eigenvalues) for measure in MEASURES.values()]
    psi = [None] * len(measured)
    if folded is not None:
        first = inside[0]
        its = read_tokens(folded, slice(first, inside[-1] + 1)).of(inside - first)
        # The mean over tokens, image by image: tokens share images.
        derivatives = np.stack([its for _, its in measured]) / len(inside)
        psi = fits.summed_influence(its.scores, band_sums(derivatives, its.edges))
    values = [value.mean() for value, _ in measured]
    return dict(zip(MEASURES, zip(values, psi, strict=True), strict=True)), int(varies.sum())
