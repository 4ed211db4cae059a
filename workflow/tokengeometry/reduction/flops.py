"""Floating-point operations of a model that reduces its tokens: of all its products, as torch counts them.

A multiplication and an addition are two. Attention sees the tokens that a block begins with, its MLP those that are
left. Norms, softmax, activation functions and the averages of merged tokens are not counted, nor does torch count them.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Blocks:
    """The sizes of a model that its operations follow from.

    Attributes
    ----------
    spatial, prefix : int
        Tokens of the input.
    embedding : int
        Entries of the patch embedding's matrix.
    attention, mlp : tuple of int
        Entries of the matrices of each block's attention and of its MLP.
    width : tuple of int
        Of all heads of each block's attention together.
    head : tuple of int
        Of one of them.
    """

    spatial: int
    prefix: int
    embedding: int
    attention: tuple
    mlp: tuple
    width: tuple
    head: tuple

    @property
    def depth(self):
        """How many blocks there are."""
        return len(self.attention)


def blocks_of(model):
    """The sizes of a timm vision transformer.

    Parameters
    ----------
    model : timm.models.VisionTransformer
        May be on the device "meta".

    Returns
    -------
    Blocks
    """

    def entries(module):
        return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)

    blocks = list(model.blocks)
    return Blocks(
        spatial=model.patch_embed.num_patches,
        prefix=model.num_prefix_tokens,
        embedding=model.patch_embed.proj.weight.numel(),
        attention=tuple(entries(block.attn) for block in blocks),
        mlp=tuple(entries(block.mlp) for block in blocks),
        width=tuple(block.attn.num_heads * block.attn.head_dim for block in blocks),
        head=tuple(block.attn.head_dim for block in blocks),
    )


def left(spatial, schedule):
    """How many spatial tokens there are at the input and after each block.

    Parameters
    ----------
    spatial : int
        At the input.
    schedule : sequence of int
        How many are to go at each block; at most half of those that are there do.

    Returns
    -------
    list of int
        One more than blocks.
    """
    counts = [spatial]
    for remove in schedule:
        counts.append(counts[-1] - min(remove, counts[-1] // 2))
    return counts


def count(blocks, schedule, matching=True):
    """Operations of the forward pass of one image.

    Parameters
    ----------
    blocks : Blocks
    schedule : sequence of int
        As of `left`.
    matching : bool
        Whether each reduction compares every second token's keys with the other ones', as ToMe does.

    Returns
    -------
    int
    """
    counts = left(blocks.spatial, schedule)
    flops = 2 * blocks.spatial * blocks.embedding
    for index, (before, after) in enumerate(pairwise(counts)):
        tokens = before + blocks.prefix
        flops += 2 * tokens * blocks.attention[index] + 4 * tokens**2 * blocks.width[index]
        flops += 2 * (after + blocks.prefix) * blocks.mlp[index]
        if matching and after < before:
            flops += 2 * (before // 2) * (before - before // 2) * blocks.head[index]
    return flops
