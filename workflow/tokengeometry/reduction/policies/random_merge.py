"""Random places are merged into random others that stay, the same in every image: what any merging has to beat."""

from tokengeometry.reduction.policies._fixed import numbered

FIXED = True
SEEDED = True


def group(tokens, keys, sizes, layer):
    random, count = layer.random(), tokens.shape[1] - layer.prefix
    stays = random.permutation(count) >= layer.remove
    groups = numbered(stays, layer.prefix)
    groups[layer.prefix :][~stays] = random.choice(groups[layer.prefix :][stays], layer.remove)
    return groups
