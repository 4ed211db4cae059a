"""Random places are dropped, the same in every image: what any other way of pruning has to beat."""

from tokengeometry.reduction.policies._fixed import numbered

FIXED = True
MERGES = False
SEEDED = True


def group(tokens, keys, sizes, layer):
    count = tokens.shape[1] - layer.prefix
    return numbered(layer.random().permutation(count) >= layer.remove, layer.prefix)
