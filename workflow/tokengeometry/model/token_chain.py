"""A timm vision transformer taken apart into the links of a chain.

`TokenChain` turns pixel patches into the tokens of layer 1, and the tokens of layer ℓ−1 into those of
layer ℓ, with the model's own modules, so that applying its links one after the other is the model's
forward pass.
"""

import difflib
import math
from pathlib import Path

import timm
import torch
from safetensors import safe_open
from timm.layers import PatchEmbed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from tokengeometry.errors import StudyError, in_one_line

# The modules of timm with such models.
FAMILIES = ("vision_transformer", "deit", "eva")
SUPPORTED = "timm's VisionTransformer and Eva families with a plain PatchEmbed"


def create_model(architecture, image_size=None, *, device="cpu"):
    """The timm model of this name, without weights and without classifier, in evaluation mode.

    Parameters
    ----------
    architecture : str
        timm's name, with or without a pretrained tag (`vit_small_patch14_dinov2.lvd142m`).
    image_size : int, (int, int) or None
        Height and width in pixels; None is the architecture's own.
    device : str or torch.device
        "meta" makes a model without memory, for its shapes.

    Raises
    ------
    StudyError
        For a name that timm does not know, a model outside the supported families, or an image size
        that the patches do not divide.
    """
    _require_known(architecture)
    options = {} if image_size is None else {"img_size": image_size}
    unsupported = StudyError(f"architecture: '{architecture}' is not supported; it must be one of {SUPPORTED}")
    try:
        with torch.device(device):
            model = timm.create_model(architecture, pretrained=False, num_classes=0, **options)
    except TypeError as error:
        # Families outside the supported ones take no img_size.
        raise unsupported from error
    except (AssertionError, RuntimeError, ValueError) as error:
        raise StudyError(f"image_size: {architecture} at {image_size} px: {in_one_line(error)}") from error
    check_supported(model, unsupported)
    _check_patches(model, architecture)
    return model.eval()


def _require_known(architecture):
    name, _, tag = architecture.partition(".")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(module=list(FAMILIES)), n=3)
        hint = (
            f"; nearest of those supported: {', '.join(near)}"
            if near
            else f"; it must be one of {SUPPORTED}, such as vit_base_patch16_224"
        )
        raise StudyError(f"architecture: '{architecture}' is not a model of timm {timm.__version__}{hint}")
    if not tag:
        return
    try:
        timm.get_pretrained_cfg(architecture, allow_unregistered=False)
    except RuntimeError as error:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
        hint = f"; its tags: {', '.join(tags)}" if tags else ""
        raise StudyError(f"architecture: timm's {name} has no pretrained tag '{tag}'{hint}") from error


def check_supported(model, error):
    """Raise `error` unless the chain can take this model apart."""
    if not isinstance(model, (VisionTransformer, Eva)) or type(model.patch_embed) is not PatchEmbed:
        raise error
    projection = model.patch_embed.proj
    if projection.kernel_size != projection.stride:
        raise error


def _check_patches(model, architecture):
    """Raise, naming sizes that fit, unless the patches divide the image; they are square in every model of timm."""
    patch, size = model.patch_embed.patch_size[0], model.patch_embed.img_size[0]
    if all(pixels % patch == 0 for pixels in model.patch_embed.img_size):
        return
    below = size // patch * patch
    if size == model.pretrained_cfg["input_size"][1]:
        # The convolution leaves the last rows and columns out, so the weights are those of this grid.
        advice = f"{below}, for its weights have {below // patch}×{below // patch} patches"
    else:
        advice = " or ".join(str(fits) for fits in (below, below + patch) if fits)
    raise StudyError(f"image_size: {size} is not a multiple of {architecture}'s patch size, {patch}; take {advice}")


def pretrained_settings(architecture):
    """What timm knows of the pretrained weights of a model; a StudyError where it has none."""
    settings = timm.get_pretrained_cfg(architecture)
    if settings is None or not settings.has_weights:
        raise StudyError(
            f"weights.source: timm has no pretrained weights for '{architecture}'; take another architecture or tag, "
            "or weights: {source: file, path: …}"
        )
    return settings


def prefix_token_names(model):
    """Names of the tokens before the spatial ones: cls, dist, reg_1, reg_2, …"""
    names = [name for name in ("cls", "dist") if getattr(model, f"{name}_token", None) is not None]
    return names + [f"reg_{i + 1}" for i in range(model.num_prefix_tokens - len(names))]


def describe(model, architecture):
    """What the later steps need to know of a model: geometry, tokens, size and preprocessing.

    Returns
    -------
    dict
        JSON-compatible; the fields of `model.json` but for the weights' own (`sha256`, `source`). `parameters` are
        those of the model without classifier, `matrix_entries` the entries of all weight matrices of each block.
    """
    preprocessing = timm.data.resolve_data_config({}, model=model)
    embed = model.patch_embed
    return {
        "architecture": architecture,
        "image_size": list(embed.img_size),
        "in_chans": embed.proj.in_channels,
        "patch_size": list(embed.patch_size),
        "grid": list(embed.grid_size),
        "prefix_tokens": prefix_token_names(model),
        "depth": len(model.blocks),
        "embed_dim": model.embed_dim,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "matrix_entries": [sum(p.numel() for p in block.parameters() if p.ndim > 1) for block in model.blocks],
        **{key: preprocessing[key] for key in ("mean", "std", "interpolation", "crop_pct", "crop_mode")},
    }


def patchify(images, patch_size):
    """Images (sample, channel, height, width) as pixel patches (sample, token, feature).

    Tokens go row by row over the patch grid; the features of a patch are ordered (channel, row, column).
    """
    samples, channels, height, width = images.shape
    rows, columns = patch_size
    grid = images.reshape(samples, channels, height // rows, rows, width // columns, columns)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(samples, -1, channels * rows * columns)


def unpatchify(patches, patch_size, grid):
    """The inverse of `patchify`: (sample, token, feature) to (sample, channel, height, width)."""
    samples = len(patches)
    rows, columns = patch_size
    tiles = patches.reshape(samples, *grid, -1, rows, columns)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(samples, -1, grid[0] * rows, grid[1] * columns)


class TokenChain:
    """The links of a model's forward pass over tokens.

    Parameters
    ----------
    model : timm.models.VisionTransformer or timm.models.Eva
        In evaluation mode, with its weights.

    Notes
    -----
    Layer 0 is the pixel patches; layer ℓ is the residual stream after block ℓ. The embedding (patch
    projection, position, prefix tokens, `norm_pre`) belongs to the link of layer 1.
    """

    def __init__(self, model):
        self.model = model
        self.depth = len(model.blocks)

    def shape(self, layer):
        """Tokens and features of a layer: (int, int)."""
        embed = self.model.patch_embed
        if layer == 0:
            return embed.num_patches, embed.proj.in_channels * math.prod(embed.patch_size)
        return embed.num_patches + self.model.num_prefix_tokens, self.model.embed_dim

    def _positioned(self, patch_embedding):
        """Embedded tokens, and Eva's rotary position embedding (None elsewhere)."""
        embedded = self.model._pos_embed(patch_embedding)
        return embedded if isinstance(self.model, Eva) else (embedded, None)

    def _rotary(self, dtype, device):
        """The rotary position embedding, which depends on the grid alone."""
        if not isinstance(self.model, Eva):
            return None
        embed = self.model.patch_embed
        # A model made for images of any size keeps the grid's two axes until the positions are added.
        grid = embed.grid_size if self.model.dynamic_img_size else [embed.num_patches]
        empty = torch.zeros(1, *grid, self.model.embed_dim, dtype=dtype, device=device)
        return self._positioned(empty)[1]

    def embed(self, patches):
        """Pixel patches (sample, spatial token, pixel feature) to the first block's input tokens."""
        embed = self.model.patch_embed
        images = unpatchify(patches, embed.patch_size, embed.grid_size)
        tokens, _ = self._positioned(embed(images))
        if isinstance(self.model, VisionTransformer):
            tokens = self.model.patch_drop(tokens)
        return self.model.norm_pre(tokens)

    def link(self, layer, tokens):
        """Layer `layer`'s tokens from those of the layer before.

        Parameters
        ----------
        layer : int
            1 … depth.
        tokens : torch.Tensor, (sample, token, feature)
            Layer `layer` − 1.

        Returns
        -------
        torch.Tensor, (sample, token, feature)
        """
        if layer == 1:
            tokens = self.embed(tokens)
        block = self.model.blocks[layer - 1]
        rotary = self._rotary(tokens.dtype, tokens.device)
        if rotary is None:
            return block(tokens)
        return block(tokens, rope=rotary[layer - 1] if getattr(self.model, "rope_mixed", False) else rotary)


def load_chain(model, weights, *, layers, device="cpu", dtype=torch.float32):
    """The chain of a prepared model, with the weights of the named layers' links only.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    weights : path
        `weights.safetensors` with timm's state dict at that image size.
    layers : iterable of int
        Layers whose links will be applied.
    device, dtype
        Where, and in which precision, the links compute.

    Returns
    -------
    TokenChain

    Raises
    ------
    StudyError
        If the weights lack a tensor that a link needs.
    """
    image_size = tuple(model["image_size"])
    network = create_model(model["architecture"], image_size, device="meta")
    if {name for name, _ in network.named_buffers()} - set(network.state_dict()):
        # Buffers outside the state dict (rotary tables) are computed by the constructor.
        network = create_model(model["architecture"], image_size)
    blocks = {f"blocks.{layer - 1}." for layer in layers}
    with safe_open(Path(weights), framework="pt") as stored:
        state = {
            name: stored.get_tensor(name)
            for name in stored.keys()  # noqa: SIM118 (not a mapping)
            if not name.startswith("blocks.") or name.startswith(tuple(blocks))
        }
    missing = [
        name
        for name in network.state_dict()
        if name not in state and (not name.startswith("blocks.") or name.startswith(tuple(blocks)))
    ]
    if missing:
        raise StudyError(f"{weights} lacks {', '.join(missing[:4])}; rebuild it: delete it and run again")
    network.load_state_dict(state, strict=False, assign=True)
    for index in range(len(network.blocks)):
        if f"blocks.{index}." not in blocks:
            network.blocks[index] = torch.nn.Identity()
    return TokenChain(network.to(device=device, dtype=dtype).eval())
