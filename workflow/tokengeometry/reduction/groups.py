"""From groups of tokens to fewer tokens.

Groups are numbers: an array (sample, token) of int64 says which of the new tokens each token goes into, and −1 that it
is dropped. A new token is the mean of its members, weighted by how many of the model's own tokens each of them stands
for (its size).
"""

import torch

from tokengeometry.errors import StudyError

DROPPED = -1


def merged(tokens, sizes, groups, count):
    """Tokens and their sizes after a reduction.

    Parameters
    ----------
    tokens : torch.Tensor, (sample, token, feature)
    sizes : torch.Tensor, (sample, token), float32
    groups : torch.Tensor, (sample, token), int64
        0 … count − 1, or `DROPPED`.
    count : int
        How many tokens there will be.

    Returns
    -------
    tokens : torch.Tensor, (sample, count, feature)
    sizes : torch.Tensor, (sample, count), float32
    """
    samples, _, features = tokens.shape
    # What is dropped goes into one more token, which is left out.
    into = torch.where(groups < 0, count, groups)
    new_sizes = sizes.new_zeros(samples, count + 1).scatter_add_(1, into, sizes)
    weighted = tokens * sizes[..., None].to(tokens.dtype)
    sums = tokens.new_zeros(samples, count + 1, features)
    sums.scatter_add_(1, into[..., None].expand_as(weighted), weighted)
    return sums[:, :count] / new_sizes[:, :count, None].to(tokens.dtype), new_sizes[:, :count]


def moved(places, groups):
    """Where the places of the input are after a reduction.

    Parameters
    ----------
    places : torch.Tensor, (sample, place), int64
        Which token holds each place; −1 where it is gone.
    groups : torch.Tensor, (sample, token), int64
        As of `merged`.

    Returns
    -------
    torch.Tensor, (sample, place), int64
    """
    return torch.where(places < 0, DROPPED, groups.gather(1, places.clamp(min=0)))


def check(groups, count, prefix, name):
    """Whether groups are what a reduction to so many tokens needs.

    Parameters
    ----------
    groups : torch.Tensor, (sample, token), int64
    count : int
    prefix : int
        How many tokens at the front are to be alone in the groups 0, 1, ….
    name : str
        Of the policy, for the message.

    Raises
    ------
    StudyError
    """
    for its in groups:
        found = torch.unique(its[its >= 0])
        if not torch.equal(found, torch.arange(count, device=its.device)):
            raise StudyError(f"policy {name}: its groups are {len(found)} where {count} tokens are to stay, from 0 on")
        alone = torch.arange(prefix, device=its.device)
        if not torch.equal(its[:prefix], alone) or (its[prefix:].ge(0) & its[prefix:].lt(prefix)).any():
            raise StudyError(f"policy {name}: it touches the prefix tokens, which must stay as they are")
