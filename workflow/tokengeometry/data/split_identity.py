"""What identifies a split, so that its samples mean the same images as long as it is used.

A sample is an index in a permutation of the split: one image more or less, and every index means another image.
"""

import hashlib
import json
import os
from collections.abc import Mapping

import numpy as np
import torch

from tokengeometry.data.descriptions import changed
from tokengeometry.errors import StudyError

# Where torchvision's classes list their images, by files' names or by their pixels.
_LISTS = (
    "samples",
    "_samples",
    "imgs",
    "images",
    "_images",
    "_image_files",
    "_image_list",
    "_flat_character_images",
    "photos",
    "filename",
    "data",
    "index",
    "ids",
    "img_info",
)


def images_of(dataset):
    """What a data set lists its images by, in their order: files, arrays or their numbers; None if unknown."""
    return next((listed for name in _LISTS if (listed := getattr(dataset, name, None)) is not None), None)


def describe(dataset, class_name, arguments, folder):
    """What is to be known of a split, for JSON: class, arguments, number of images, and their identity.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Opened by `tokengeometry.data.splits.open_split`.
    class_name, arguments : str, dict
        Of the configuration.
    folder : path
        The split's `root`.
    """
    identity = identity_of(dataset, folder)
    return {"class": class_name, "arguments": dict(arguments), "images": len(dataset), "identity": identity}


def identity_of(dataset, folder):
    """A hash of how many images a split has and of which, in their order; 32 hexadecimal digits.

    Of files below the folder it takes the names from there and the sizes, not what is in them; of images in
    memory the pixels.

    Raises
    ------
    StudyError
        A listed file is not there.
    """
    digest = hashlib.blake2b(str(len(dataset)).encode(), digest_size=16)
    _add(digest, images_of(dataset), str(folder))
    return digest.hexdigest()


def require_unchanged(dataset, folder, description):
    """Raise StudyError unless a split has the images that it had when it was described.

    Parameters
    ----------
    dataset, folder : torch.utils.data.Dataset, path
        As of `describe`.
    description : path
        The JSON file of what it gave.
    """
    made = json.loads(description.read_text())
    if "identity" not in made:
        raise StudyError(
            f"{description} is of an earlier version, which did not record what is in a split: "
            "delete it and run again, which makes all that comes from this split anew"
        )
    if made["identity"] == identity_of(dataset, folder):
        return
    raise StudyError(changed(folder, made["images"], len(dataset), description))


def _add(digest, value, folder):
    if isinstance(value, (np.ndarray, torch.Tensor)):
        array = np.asarray(value)
        digest.update(f"{array.dtype} {array.shape};".encode())
        # One by one: an array may be a view in another order, which would be copied as a whole.
        for image in array if array.ndim else (array,):
            digest.update(np.ascontiguousarray(image))
    elif isinstance(value, Mapping):
        for item in value.items():
            _add(digest, item, folder)
    elif isinstance(value, (list, tuple)):
        digest.update(f"{len(value)};".encode())
        for item in value:
            _add(digest, item, folder)
    elif isinstance(value, os.PathLike):
        _add_file(digest, os.fspath(value), os.path.relpath(value, folder))
    elif isinstance(value, str) and value.startswith(f"{folder}{os.sep}"):
        _add_file(digest, value, value[len(folder) + 1 :])
    elif isinstance(value, str):
        digest.update(os.fsencode(value) + b"\0")
    else:
        digest.update(f"{value!r};".encode())


def _add_file(digest, path, name):
    try:
        size = os.stat(path).st_size
    except FileNotFoundError as error:
        raise StudyError(f"{path} is missing: put it back, or fetch the data set again") from error
    digest.update(os.fsencode(name) + f"\0{size};".encode())
