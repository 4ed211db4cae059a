"""The places of lowest α are dropped: what `alpha_prune` keeps, to see which of the two a model needs."""

import numpy as np

from tokengeometry.reduction.policies._fixed import numbered

FIXED = True
NEEDS = ("alpha",)
MERGES = False


def group(tokens, keys, sizes, layer):
    alpha = layer.of_tokens(layer.alpha)
    last = np.argsort(np.nan_to_num(alpha, nan=-np.inf), kind="stable")[: layer.remove]
    return numbered(~np.isin(np.arange(len(alpha)), last), layer.prefix)
