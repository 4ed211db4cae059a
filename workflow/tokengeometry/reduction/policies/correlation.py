"""Places that are alike over all images are merged: clusters of the layer's correlation matrix.

Agglomerative clustering with average linkage (scipy), by 1 − r. It begins with the tokens that there are; r of two
tokens that hold several places is the mean over their pairs.
"""

import numpy as np

from tokengeometry.reduction.policies._fixed import joined

FIXED = True
NEEDS = ("correlation",)


def group(tokens, keys, sizes, layer):
    # The Snakefile starts sooner without scipy.
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    members = layer.members().astype(float)
    # A place whose correlations are undefined is like no other.
    between = members @ np.nan_to_num(layer.correlation, nan=-1.0) @ members.T
    distance = 1 - between / np.outer(members.sum(axis=1), members.sum(axis=1))
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(np.clip(distance, 0, 2), checks=False), "average")
    return joined(len(members), tree[: layer.remove, :2].astype(int), layer.prefix)
