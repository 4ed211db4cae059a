"""Bipartite soft matching on keys: each image's most similar tokens are merged.

Bolya, Fu, Dai, Zhang, Feichtenhofer & Hoffman, “Token Merging: Your ViT But Faster” (2022). The spatial tokens are
dealt in turn into two sets. Every token of the first is joined with the token of the second whose keys, averaged over
the heads, have the largest cosine with its own. The most similar pairs are merged. What is left of the first set comes
before the second, as in the paper.
"""


def group(tokens, keys, sizes, layer):
    import torch

    prefix, remove = layer.prefix, layer.remove
    metric = torch.nn.functional.normalize(keys.mean(dim=1)[:, prefix:], dim=-1)
    first, second = metric[:, 1::2], metric[:, ::2]
    likeness, partner = (first @ second.mT).max(dim=-1)
    goes = torch.zeros_like(likeness, dtype=torch.bool)
    goes.scatter_(1, likeness.topk(remove, dim=-1).indices, True)
    # The second set's tokens come after those of the first that stay.
    after = prefix + first.shape[1] - remove
    groups = torch.empty(tokens.shape[:2], dtype=torch.int64, device=tokens.device)
    groups[:, :prefix] = torch.arange(prefix, device=tokens.device)
    groups[:, prefix + 1 :: 2] = torch.where(goes, after + partner, prefix - 1 + (~goes).cumsum(dim=1))
    groups[:, prefix::2] = after + torch.arange(second.shape[1], device=tokens.device)
    return groups
