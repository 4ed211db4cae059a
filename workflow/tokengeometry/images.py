"""Image files of every mode as 8-bit RGB."""

import os
import struct
import zlib

import numpy as np
import torch
from PIL import Image

from .errors import StudyError, in_one_line
from .splits import images_of

# What Pillow's decoders raise on broken files of its many formats.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def load(path: str | os.PathLike) -> Image.Image:
    """The image of a file as RGB; torchvision's own loader clips 16-bit images."""
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            return _rgb(image)
    except _UNREADABLE as error:
        raise StudyError(f"{path} cannot be read as an image: {in_one_line(error)}") from error


def image_at(dataset: torch.utils.data.Dataset, index: int) -> Image.Image:
    """The image of a sample as RGB.

    Parameters
    ----------
    dataset
        Yields PIL images, or tuples that start with one.
    index
        Of the sample.

    Raises
    ------
    StudyError
        It cannot be read, and is named by its file or else its index; or it is no image.
    """
    try:
        sample = dataset[index]
        image = sample[0] if isinstance(sample, tuple) else sample
        if isinstance(image, Image.Image):
            return _rgb(image)
    except _UNREADABLE as error:
        raise StudyError(f"{_name(dataset, index)} cannot be read: {in_one_line(error)}") from error
    raise StudyError(f"{type(dataset).__name__} yields {type(image).__name__}, not images: use an image data set")


def _name(dataset: torch.utils.data.Dataset, index: int) -> str:
    listed = images_of(dataset)
    image = None if listed is None else listed[index]
    path = image[0] if isinstance(image, (tuple, list)) else image
    return str(path) if isinstance(path, (str, os.PathLike)) else f"image {index} of {type(dataset).__name__}"


def _rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as 8-bit RGB."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow opens some 16-bit files in the 32-bit mode I; wider values have no agreed white.
        plain = _grey(image, white=65535)
    elif image.mode == "F":
        pixels = np.asarray(image)
        plain = _grey(image, white=1.0 if pixels.max() <= 1 else 255.0)
    elif image.mode == "P" and "transparency" in image.info:
        plain = image.convert("RGBA")
    else:
        plain = image
    return plain.convert("RGB")


def _grey(image: Image.Image, white: float) -> Image.Image:
    pixels = np.asarray(image).astype(np.float64)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= white):
        raise ValueError(f"mode {image.mode} has values {low:g} to {high:g}, not 0 to {white:g}")
    return Image.fromarray(np.rint(pixels * (255 / white)).astype(np.uint8))
