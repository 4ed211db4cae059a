"""The images that raise or lower a token's α most, by their influence on it."""

import numpy as np

from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.geometry.uncertainty import fits
from tokengeometry.geometry.uncertainty.stores import read_tokens

# Of the tokens whose images' scores are in memory at a time.
BLOCK = 64
NONE = 2**32 - 1


def extremes(spectra, uncertainty, count, *, ranks, min_ranks, weights):
    """The images with the largest influences on every token's α at a layer.

    Parameters
    ----------
    spectra, uncertainty : open store
        Of the layer.
    count : int
        How many images of each sign.
    ranks, min_ranks, weights
        Of the configuration's `fit`.

    Returns
    -------
    array of uint32, (token, 2, count)
        Positions among the images in folds: those that raise α, then those that lower it, the largest first. `NONE`
        where there are no more, or the token has no α.
    """
    eigenvalues, floor = spectra["eigenvalues"][:], spectra["floor"][:]
    used = resolved(eigenvalues, floor, spectra.attributes["samples"])
    enough = used[:, ranks[0] - 1 : ranks[1]].sum(axis=1) >= min_ranks
    found = np.full((len(used), 2, count), NONE, np.uint32)
    for start in range(0, len(used), BLOCK):
        block = slice(start, start + BLOCK)
        folded = read_tokens(uncertainty, block)
        if ranks[1] > folded.edges[-1]:
            break
        of_log = np.where(enough[block, None], fits.coefficients(used[block], ranks, weights).alpha, 0.0)
        influence = fits.influence(folded, of_log)
        for side, signed in enumerate((influence, -influence)):
            order = np.argsort(-signed, axis=1, kind="stable")[:, :count]
            positive = np.take_along_axis(signed, order, axis=1) > 0
            found[block, side, : order.shape[1]] = np.where(positive, order, NONE)
    return found
