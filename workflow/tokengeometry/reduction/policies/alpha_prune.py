"""The places of highest α are dropped: those whose variance lies in the fewest directions."""

import numpy as np

from tokengeometry.reduction.policies._fixed import numbered

FIXED = True
NEEDS = ("alpha",)
MERGES = False


def group(tokens, keys, sizes, layer):
    alpha = layer.of_tokens(layer.alpha)
    # A token without α, such as one that is the same in every image, goes first.
    last = np.argsort(np.nan_to_num(-alpha, nan=-np.inf), kind="stable")[: layer.remove]
    return numbered(~np.isin(np.arange(len(alpha)), last), layer.prefix)
