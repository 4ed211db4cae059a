"""What is in a file of weights, whatever its name: safetensors, what `torch.save` writes, or an ONNX graph."""

import argparse
import pickle
import re
import zipfile
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file

from tokengeometry.errors import StudyError, in_one_line
from tokengeometry.model import onnx_dinov2

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar")
SUFFIXES = {".safetensors": "safetensors", ".onnx": "onnx"} | dict.fromkeys(PICKLES, "pickle")


def read(path):
    """The content of a weights file.

    Parameters
    ----------
    path : path
        What it is, is seen in its first bytes; where they don't say, in its suffix, in capitals or not.

    Returns
    -------
    object
        As it was saved: a dict of tensors, one that has such dicts in it, or anything else that can be unpickled as
        weights only.

    Raises
    ------
    StudyError
        If the file is of another kind, damaged, or unpickling it would call what it names.
    """
    path = Path(path)
    try:
        kind = _kind(path)
        return {"safetensors": load_file, "onnx": onnx_dinov2.state_dict, "pickle": _unpickled}[kind](path)
    except (safetensors.SafetensorError, OSError) as error:
        raise StudyError(f"the weights {path.name} are damaged: {in_one_line(error)}") from error


def _kind(path):
    with open(path, "rb") as file:
        start = file.read(64)
    if start.startswith(b"PK\x03\x04"):
        _require_checkpoint(path)
        return "pickle"
    # A pickle's protocol, 2 or later. Safetensors begin with the length of the JSON that follows.
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return "safetensors"
    if start.startswith(b"version https://git-lfs"):
        raise StudyError(f"the weights {path.name} are a pointer of Git LFS, not the file: run git lfs pull for it")
    if path.suffix.lower() not in SUFFIXES:
        raise StudyError(f"the weights {path.name} must be a file of one of these kinds: {', '.join(SUFFIXES)}")
    return SUFFIXES[path.suffix.lower()]


def _require_checkpoint(path):
    """Raise if a zip archive is something else than a checkpoint of torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except zipfile.BadZipFile:
        # Cut short; torch says where.
        return
    if "constants.pkl" in names:
        raise StudyError(
            f"the weights {path.name} are a TorchScript archive, a program, which is not run here; if you trust it, "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW) writes its state dict alone: give NEW"
        )
    if "data.pkl" not in names:
        raise StudyError(
            f"the weights {path.name} are a zip archive, but not one of torch.save; unpack it, or save the state dict "
            "alone, best as .safetensors"
        )


def _unpickled(path):
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
        reason = " ".join(str(error).split()).split(". ")[0] or "it ends too early"
        raise StudyError(f"the weights {path.name} are damaged: {reason}") from error
