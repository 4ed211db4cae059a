"""The tokens of highest α are merged, each into the one that stays whose keys are most like its own.

α, that of the places which a token holds, says which go; the keys of each image say where to.
"""

import numpy as np

NEEDS = ("alpha",)


def group(tokens, keys, sizes, layer):
    import torch

    prefix, places = layer.prefix, layer.places - layer.prefix
    # A place without α, such as one that is the same in every image, goes first.
    alpha = np.nan_to_num(layer.alpha, nan=np.nanmax(layer.alpha, initial=1) + 1)
    alpha = torch.from_numpy(alpha).to(tokens.device).expand(places.shape)
    shape = tokens.shape[0], tokens.shape[1] - prefix
    sums, counts = (alpha.new_zeros(shape).scatter_add_(1, places, its) for its in (alpha, torch.ones_like(alpha)))
    order = (sums / counts).argsort(dim=1, descending=True, stable=True)
    going, staying = order[:, : layer.remove], order[:, layer.remove :].sort(dim=1).values
    metric = torch.nn.functional.normalize(keys.mean(dim=1)[:, prefix:], dim=-1)
    goes, stays = (metric.gather(1, its[..., None].expand(-1, -1, metric.shape[-1])) for its in (going, staying))
    groups = torch.arange(tokens.shape[1], device=tokens.device).repeat(len(tokens), 1)
    numbers = torch.arange(staying.shape[1], device=tokens.device).expand_as(staying)
    groups[:, prefix:].scatter_(1, staying, prefix + numbers)
    groups[:, prefix:].scatter_(1, going, prefix + (goes @ stays.mT).argmax(dim=-1))
    return groups
