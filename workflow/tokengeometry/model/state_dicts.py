"""Which tensors of a checkpoint are the model: of several sets of weights, those that its authors evaluate.

Every tensor of a checkpoint has a dotted name here: the keys of the dicts around it, then its own name in the state
dict. A set of weights is all that begins with one prefix, such as `teacher.backbone.`, whether that is the key of a
dict or was put before the names by DistributedDataParallel, torch.compile, Lightning or the training script's module.
"""

import itertools
import math
import sys
from collections.abc import Mapping

import timm
import torch

from tokengeometry.errors import StudyError

# The patch projection, by which a vision transformer is known: timm's and most authors' name, CLIP's, AIM's, others'.
PATCH_KERNELS = ("patch_embed.proj.weight", "conv1.weight", "patchifier.proj.weight")
PATCH_KERNELS += ("vision_embed.proj.weight", "patch_embed.projection.weight")
# Of two sets of weights the one that is evaluated, and the other.
EVALUATED = (
    ("teacher", "student"),  # DINO, iBOT, DINOv2
    ("target_encoder", "encoder"),  # I-JEPA, V-JEPA
    ("target_encoder", "context_encoder"),
    ("base_encoder", "momentum_encoder"),  # MoCo v3
    ("encoder_q", "encoder_k"),  # MoCo
    ("online_encoder", "target_encoder"),  # BYOL
)
# In a key, between underscores: the average over the steps of training, which is evaluated and not the last step.
AVERAGES = {"ema", "swa", "averaged"}
# What a checkpoint has beyond the tokens, the classifier or the training's own parts (MAE's decoder, DINO's heads):
# dropped where the model without classifier has no such part.
BEYOND = ("head", "head_dist", "fc_norm", "attn_pool", "mask_token", "dino_head", "ibot_head")
BEYOND += tuple(f"decoder_{part}" for part in ("embed", "pos_embed", "blocks", "norm", "pred"))
NAMED = 8


def tensors_of(checkpoint, prefix=""):
    """Every tensor of a checkpoint by its dotted name."""
    found = {}
    for key, value in checkpoint.items():
        if isinstance(value, torch.Tensor):
            found[f"{prefix}{key}"] = value.detach()
        elif isinstance(value, Mapping):
            found |= tensors_of(value, f"{prefix}{key}.")
    return found


def choose(checkpoint, network, architecture, name, key=None):
    """The set of weights in a checkpoint that is the model's.

    Parameters
    ----------
    checkpoint : object
        What a file of weights holds.
    network : timm model
        On any device, the meta device too.
    architecture : str
        Its name.
    name : str
        The file's, for messages.
    key : str, optional
        The prefix of the set to take, without its last dot; "" is the names as they are in the file.

    Returns
    -------
    state : dict of str to torch.Tensor
        In float32; timm's converter of foreign checkpoints turns its names into the model's.
    key : str
        The prefix that was stripped, without its last dot.

    Raises
    ------
    StudyError
        If there is no such set, there are several and nothing says which, or it does not fit the model.
    """
    tensors = tensors_of(checkpoint) if isinstance(checkpoint, Mapping) else {}
    if not tensors:
        held = ", ".join(map(str, list(checkpoint)[:NAMED])) if isinstance(checkpoint, Mapping) else type(checkpoint)
        raise StudyError(f"{name} holds no state dict, but {held}")
    prefixes = _prefixes(tensors, network, "")
    within = f"{key}." if key else ""
    if key is not None and not any(n.startswith(within) for n in tensors):
        raise StudyError(f"weights.key: {name} has no tensor under '{key}'; its sets of weights: {_shown(prefixes)}")
    if key is not None and within in prefixes:
        chosen = within
    else:
        prefixes = _prefixes(tensors, network, within)
        chosen = _evaluated(prefixes)
        if chosen is None:
            raise StudyError(
                f"weights.key: {name} holds several sets of weights, and no rule says which of them its authors "
                f"evaluate; choose one of {_shown(prefixes)}"
            )
    others = [other for other in prefixes if other != chosen and other.startswith(chosen)]
    states = {}
    for prefix in _leading(chosen, within):
        states[prefix] = {
            n.removeprefix(prefix): _float32(tensor)
            for n, tensor in tensors.items()
            if n.startswith(prefix) and not n.startswith(tuple(others))
        }
        problems = misfit(states[prefix], network, architecture)
        if not problems:
            left = sorted(set(prefixes) - {chosen})
            taken = f"the set of weights {_shown([prefix])}" if prefix else "the names as they are"
            print(f"{name}: {taken}{f'; not taken: {_shown(left)}' if left else ''}")
            return states[prefix], prefix.removesuffix(".")
    problems = misfit(states[chosen], network, architecture)
    under = f" under '{chosen.removesuffix('.')}'" if chosen else ""
    listed = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in problems.items())
    raise StudyError(f"{name} does not fit {architecture}{under}: {listed}")


def misfit(state, network, architecture):
    """What keeps timm from loading these tensors into the model with none missing and none left over.

    The position embedding may be of another image size, which timm resamples. It would resample the patch
    projection too, but weights with another patch size are those of another architecture.

    Returns
    -------
    dict of str to list of str
        "missing", "unexpected" and "shapes", as far as there are any; empty where all fit.
    """
    expected = network.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in expected.items()}
    try:
        named = _timm_names(state, network, architecture)
    except Exception:  # timm's converters assume the weights that they are for
        named = state
    missing = sorted(shapes.keys() - named.keys())
    unexpected = [key for key in named if key not in shapes and not _is_beyond(key, shapes)]
    wrong = [
        f"{key} is {_form(named[key])} instead of {shapes[key]}"
        for key in shapes
        if key in named and (tuple(named[key].shape) != shapes[key] or not named[key].is_floating_point())
    ]
    patch_size = tuple(network.patch_embed.patch_size)
    wrong += [
        f"{key} has patches of {tuple(tensor.shape[2:])} instead of {patch_size}"
        for key, tensor in state.items()
        if key.endswith(PATCH_KERNELS) and tensor.ndim == 4 and tuple(tensor.shape[2:]) != patch_size
    ]
    problems = {"missing": missing, "unexpected": unexpected, "shapes": wrong}
    return {kind: keys for kind, keys in problems.items() if keys}


def _prefixes(tensors, network, within):
    """The prefixes of the sets of weights: what stands before a patch projection, if possible one of the model's shape.

    Where there is none the one that all names share, as far as a dot.
    """
    features, *pixels = network.patch_embed.proj.weight.shape
    found = {}
    for name, tensor in tensors.items():
        for kernel in PATCH_KERNELS:
            prefix = name.removesuffix(kernel)
            if name.endswith(kernel) and prefix.startswith(within) and prefix[-1:] in ("", "."):
                found[prefix] = tensor.ndim > 1 and (len(tensor), tensor[0].numel()) == (features, math.prod(pixels))
    if not found:
        keys = [name.split(".") for name in tensors if name.startswith(within)]
        shared = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*keys, strict=False))
        # A single tensor's own name isn't part of it.
        return [".".join([*(level[0] for level in shared), ""]) if len(keys) > 1 else within]
    return sorted((prefix for prefix in found if found[prefix]), key=len) or [min(found, key=len)]


def _evaluated(prefixes):
    """The one of several sets of weights that is evaluated rather than each of the others; None if none is."""
    for one in prefixes:
        if all(one == other or _goes_before(one, other) for other in prefixes):
            return one
    return None


def _goes_before(one, other):
    one, other = set(one.split(".")), set(other.split("."))
    for evaluated, not_evaluated in EVALUATED:
        if evaluated in one - other and not_evaluated in other - one:
            return True
    known = {key for pair in EVALUATED for key in pair[:1]}
    return _is_average(one) and not _is_average(other) and not known & other


def _is_average(keys):
    return any(AVERAGES & set(key.split("_")) for key in keys)


def _leading(prefix, within):
    """A prefix, then shorter and shorter beginnings of it: timm's converters know some of the names by theirs."""
    while prefix != within:
        yield prefix
        prefix = prefix[: prefix.rfind(".", 0, -1) + 1]
    yield prefix


def _timm_names(state, network, architecture):
    """The state dict under the names of timm's model, by timm's own converter of foreign checkpoints."""
    module = sys.modules[timm.model_entrypoint(architecture).__module__]
    # As timm's DeiT constructors do; the others of its settings are about interpolation.
    options = {"adapt_layer_scale": True} if module.__name__ == "timm.models.deit" else {}
    return module.checkpoint_filter_fn(dict(state), network, **options)


def _is_beyond(key, expected):
    part = key.split(".")[0]
    return part in BEYOND and not any(other.split(".")[0] == part for other in expected)


def _float32(tensor):
    return tensor.float() if tensor.is_floating_point() else tensor


def _form(tensor):
    return tuple(tensor.shape) if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")


def _shown(prefixes):
    return ", ".join(prefix.removesuffix(".") or '""' for prefix in prefixes)


def _some(names):
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
