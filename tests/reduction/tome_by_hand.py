"""Token merging in plain loops, after sections 3.1 to 3.3 of Bolya et al. (2022), one image at a time.

It knows nothing of the package: the tests compare the package with it.
"""

import math

import torch


def merge_image(tokens, keys, sizes, prefix, remove):
    """New tokens and sizes of one image: lists of (feature,) tensors and of numbers."""
    if remove == 0:
        return tokens, sizes
    spatial = list(range(prefix, len(tokens)))
    # Step 1: the tokens are dealt into two sets of about the same size.
    set_a, set_b = spatial[1::2], spatial[0::2]
    # Step 2: one edge from each token in A to its most similar token in B; similarity is the keys' cosine.
    edges = []
    for a in set_a:
        likeness = [float(torch.cosine_similarity(keys[a], keys[b], dim=0)) for b in set_b]
        best = max(range(len(set_b)), key=lambda place: likeness[place])
        edges.append((likeness[best], a, set_b[best]))
    # Step 3: keep the r most similar edges.
    kept = sorted(edges, key=lambda edge: -edge[0])[:remove]
    # Step 4: merge tokens that are still connected, by the average of all that they stand for.
    new_tokens = {token: tokens[token] * sizes[token] for token in range(len(tokens))}
    new_sizes = dict(enumerate(sizes))
    for _, a, b in kept:
        new_tokens[b] = new_tokens[b] + new_tokens.pop(a)
        new_sizes[b] += new_sizes.pop(a)
    # Step 5: concatenate the two sets again.
    order = [*range(prefix), *(a for a in set_a if a in new_tokens), *set_b]
    return [new_tokens[token] / new_sizes[token] for token in order], [new_sizes[token] for token in order]


def attend(block, tokens, sizes):
    """The output of a block's attention, and the mean of its keys over the heads: (token, feature) each."""
    attention = block.attn
    heads = attention.num_heads
    normed = block.norm1(tokens)
    queries, keys, values = attention.qkv(normed).chunk(3, dim=-1)
    width = queries.shape[-1] // heads
    outputs, all_keys = [], []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        q, k = attention.q_norm(queries[:, part]), attention.k_norm(keys[:, part])
        scores = q @ k.T / math.sqrt(width)
        # Proportional attention: softmax(QKᵀ/√d + log s).
        scores = scores + torch.tensor([math.log(size) for size in sizes])
        outputs.append(torch.softmax(scores, dim=-1) @ values[:, part])
        all_keys.append(k)
    return attention.proj(attention.norm(torch.cat(outputs, dim=-1))), torch.stack(all_keys).mean(dim=0)


def forward_features(model, images, schedule, *, clip=False):
    """The final tokens of every image after the model's last norm, and their sizes: lists, an entry an image."""
    embedded = model.norm_pre(model._pos_embed(model.patch_embed(images)))
    found = []
    for tokens in embedded:
        sizes = [1] * len(tokens)
        for block, remove in zip(model.blocks, schedule, strict=True):
            attended, keys = attend(block, tokens, sizes)
            tokens = tokens + block.ls1(attended)
            if clip:
                remove = min(remove, (len(tokens) - model.num_prefix_tokens) // 2)
            merged, sizes = merge_image(list(tokens), list(keys), sizes, model.num_prefix_tokens, remove)
            tokens = torch.stack(merged)
            tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
        found.append((model.norm(tokens), sizes))
    return found
