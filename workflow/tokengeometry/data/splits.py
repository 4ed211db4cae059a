"""Images of torchvision's data set classes: opening, choosing and preprocessing them.

A data set is a class of `torchvision.datasets` by name and, for each split, the keyword arguments
of its constructor.
"""

import contextlib
import re
import threading
from pathlib import Path

import numpy as np
import torch
from torchvision import transforms
from torchvision.transforms.functional import to_tensor

from tokengeometry.data.checksums import damaged_idx_files, unverified
from tokengeometry.data.images import image_at
from tokengeometry.data.signatures import check_arguments, parameters_of
from tokengeometry.data.split_identity import require_unchanged
from tokengeometry.data.torchvision_classes import ABSENT, class_named, construct, folder_of
from tokengeometry.errors import StudyError, in_one_line
from tokengeometry.operations.worker_threads import inferred

# Of torchvision's classes, those that one thread at a time may ask for an image: FakeData seeds torch's only generator
# for it, PCAM opens and closes one HDF5 file. The others read arrays of theirs, or open a file for each image.
ONE_AT_A_TIME = ("FakeData", "PCAM")

# What torchvision tells callers of its constructors.
_ADVICE = re.compile(r"\W+You (can|may) (use|set) download=True.*")


def open_described(description, class_name, arguments, white):
    """Open a split that has the images of its description.

    Parameters
    ----------
    description : path
        `splits/SPLIT.json` in the folder of the data set.
    class_name, arguments, white : str, dict, float or None
        As of `open_split`.

    Raises
    ------
    StudyError
        As of `open_split`; or the split has changed since it was described.
    """
    root = Path(description).parents[1]
    split = open_split(class_name, arguments, root, white)
    require_unchanged(split, folder_of(arguments, root), Path(description))
    return split


def open_split(class_name, arguments, root, white=None):
    """Open one split whose files are there, with PIL images and without any download.

    torchvision's constructors verify CIFAR's checksums before they load its pickles.

    Parameters
    ----------
    class_name : str
        A class of torchvision.datasets.
    arguments : dict
        Keyword arguments of its constructor.
    root : path
        Folder of the files, unless `arguments` has a `root`.
    white : float or None
        The value that is white where a file does not say it; see `tokengeometry.data.images.load`.

    Raises
    ------
    StudyError
        Unknown class, wrong arguments, missing or damaged files.
    """
    dataset_class = class_named(class_name)
    check_arguments(class_name, arguments)
    folder = folder_of(arguments, root)
    for path in damaged_idx_files(dataset_class, folder):
        raise StudyError(
            f"{path} fails its checksum in the archive beside it: delete both and fetch {class_name} again"
        )
    try:
        return construct(dataset_class, arguments, root, download=False, white=white)
    except ABSENT as error:
        broken = unverified(dataset_class, folder)
        found = broken or f"{folder.absolute()}: {_ADVICE.sub('', in_one_line(error))}"
        remedy = ": fetch it again" if broken else ""
        if "root" in arguments:
            remedy = "; a root of yours is only read: put the unpacked files there"
            if "download" in parameters_of(class_name):
                remedy += ", or leave root out of the arguments to have them downloaded"
        raise StudyError(f"{class_name} cannot be opened: {found}{remedy}") from error


def subset(size, samples, seed):
    """Indices of a random subset of a split: a prefix of one seeded permutation of it.

    With the same seed a larger subset starts with the smaller one.

    Parameters
    ----------
    size : int
        Number of images in the split.
    samples : int
        Number of images wanted, 1 to `size`.
    seed : int
        Seed of the permutation.

    Returns
    -------
    (samples,) int64, distinct indices below `size`.

    Raises
    ------
    StudyError
        The split has fewer images than wanted.
    """
    if not 1 <= samples <= size:
        raise StudyError(f"samples is {samples}, but the split has {size} images: use 1 to {size}")
    return np.random.default_rng(seed).permutation(size)[:samples].astype(np.int64)


def others(size, samples, count, seed):
    """Indices of images that `subset` does not choose: the next ones of its permutation.

    Parameters
    ----------
    size, samples, seed : int
        As of `subset`.
    count : int
        How many others.

    Returns
    -------
    (count,) int64, distinct indices below `size`.

    Raises
    ------
    StudyError
        The split has too few.
    """
    if samples + count > size:
        raise StudyError(
            f"reduction.tuning.images: {count} images beside the {samples} samples are more than the {size} of the "
            f"split; with samples: {samples} there are {size - samples}"
        )
    return subset(size, samples + count, seed)[samples:]


def transform(model, *, crop="center", resize="uint8"):
    """What makes a model's input of an image; by default timm's own evaluation transform.

    Parameters
    ----------
    model : dict
        `image_size` [height, width] in pixels, `in_chans`, `mean` and `std` (one for each
        channel), `interpolation`, `crop_pct` and `crop_mode`, as in model.json.
    crop : str
        "center": as timm does for the model, which may cut off the border; "none": the whole image is resized to the
        input's height and width, whatever its own proportions.
    resize : str
        "uint8": by Pillow, to whole grey levels; "float": in floating point, unrounded, and cut to black and white
        where the interpolation leaves their range.

    Returns
    -------
    RGB image -> float32 (in_chans, height, width), normalised.
    """
    # Fetching a data set takes none of timm.
    from timm.data import create_transform

    height, width = model["image_size"]
    # Of timm's ways to crop, the one that keeps no proportions.
    whole = {"crop_pct": 1.0, "crop_mode": "squash"}
    cropped = whole if crop == "none" else {key: model[key] for key in whole}
    by_timm = create_transform(
        input_size=(model["in_chans"], height, width),
        is_training=False,
        interpolation=model["interpolation"],
        mean=tuple(model["mean"]),
        std=tuple(model["std"]),
        **cropped,
    )
    if resize == "uint8":
        return by_timm
    # timm's steps take a tensor as well as an image.
    *resizing, normalise = by_timm.transforms
    return transforms.Compose([to_tensor, *resizing, lambda image: image.clamp(0, 1), normalise])


class Images(torch.utils.data.Dataset):
    """Preprocessed images of chosen samples.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        A split opened by `open_split`.
    indices : sequence of int, (sample,)
        (sample,) indices into it.
    transform : callable
        RGB image -> float32 (3, height, width).

    Item i is the float32 (3, height, width) tensor of sample `indices[i]`. Images of any mode
    become RGB as in torchvision and timm, with transparency dropped, but deeper grey is scaled to
    8 bits, where Pillow would clip it, from the split's `white` where the file says none; of
    animations the first frame is taken. An unreadable image is a StudyError that names its file,
    or else its index in the split. Threads may ask for items side by side.
    """

    def __init__(self, dataset, indices, transform):
        self.dataset = dataset
        self.indices = indices
        self.transform = transform
        # Whose code gives an image: a class of ours takes it over from torchvision's.
        giver = next(cls for cls in type(dataset).__mro__ if "__getitem__" in vars(cls))
        known = giver.__module__.startswith("torchvision.datasets.") and giver.__name__ not in ONE_AT_A_TIME
        self._turn = contextlib.nullcontext() if known else threading.Lock()

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, item):
        with self._turn:
            image = image_at(self.dataset, int(self.indices[item]))
        return self.transform(image)


def batches(split, samples, model, *, batch_size, workers, made=lambda batch: batch, **preprocessing):
    """Preprocessed images of these samples in batches, in order: float32 (sample, in_chans, height, width).

    Threads preprocess them, a batch each, beside the caller. Processes would need shared memory and sockets, of which a
    container or a cluster may have too little, and some systems start them by running the caller's script again.

    Parameters
    ----------
    split : torch.utils.data.Dataset
        Opened by `open_split`.
    samples : sequence of int, (sample,)
        (sample,) indices into it.
    model : dict
        As of `transform`.
    batch_size : int
        Images in a batch.
    workers : int
        Threads that preprocess them.
    made : callable, optional
        Of a batch; what it makes is yielded in its place. The thread that preprocessed the batch calls it.
    **preprocessing : str
        `crop` and `resize` of `transform`.

    Raises
    ------
    StudyError
        An image cannot be read.
    """
    images = Images(split, samples, transform(model, **preprocessing))
    shape = model["in_chans"], *model["image_size"]

    def batch(start):
        found = torch.empty(min(batch_size, len(images) - start), *shape)
        for item in range(len(found)):
            found[item] = images[start + item]
        return made(found)

    return inferred(batch, range(0, len(images), batch_size), workers, beside=True)
