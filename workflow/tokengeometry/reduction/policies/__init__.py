"""Policies: which tokens of a block are merged or dropped. One a file.

Every module of this folder is a policy, but for those whose names begin with an underscore. It has one function,

group(tokens, keys, sizes, layer)
    tokens : torch.Tensor, (sample, token, feature), between the block's attention and its MLP, prefix tokens first.
    keys : torch.Tensor, (sample, head, token, feature), of the block's attention.
    sizes : torch.Tensor, (sample, token), how many of the model's own tokens each one stands for.
    layer : `tokengeometry.reduction.layer.Layer`: how many are to go, and the geometry of the layer.
    It returns groups, int64: for every token the number of the new token that it goes into, or −1 where it is dropped;
    see `tokengeometry.reduction.groups`. There are as many new tokens as there were, less `layer.remove`; the prefix
    tokens are alone in the first. The groups are (sample, token), a tensor; or those of all images, (token,), an array.

and may have

FIXED : bool
    Whether the groups are the same for all images; they are then made once. False without it.
MERGES : bool
    Whether tokens are merged; those of a policy that only drops need no proportional attention. True without it.
NEEDS : tuple of str
    What of the layer's geometry it takes: "alpha", "correlation". Nothing without it.
SEEDED : bool
    Whether it draws numbers, and is to be repeated with other seeds. False without it.

Keep what a module imports light: the Snakefile loads it.
"""

from tokengeometry import one_a_file
from tokengeometry.errors import StudyError


def names():
    """The names of all policies.

    Returns
    -------
    list of str
        Sorted.
    """
    return one_a_file.names(__path__)


def load(name):
    """The module of a policy.

    Parameters
    ----------
    name : str

    Returns
    -------
    module

    Raises
    ------
    StudyError
        There is none of this name, or it has no function `group`.
    """
    module = one_a_file.load(__name__, name, names(), "reduction.policies")
    if not hasattr(module, "group"):
        raise StudyError(f"reduction.policies: {name}.py lacks group; CONTRIBUTING.md says what a policy has")
    return module
