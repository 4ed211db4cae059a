"""Image files of every mode as 8-bit RGB."""

import os
import struct
import zlib

import numpy as np
from PIL import Image

from tokengeometry.data.split_identity import images_of
from tokengeometry.errors import StudyError, in_one_line

# Formats of which Pillow opens 16 bits in the 32-bit mode I, scaled to 65535.
_DEEP_IN_32_BITS = ("PNG", "PPM")
# Tags of TIFF, and a value.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0

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


def load(path, white=None):
    """The image of a file as RGB; torchvision's own loader clips 16-bit images.

    Parameters
    ----------
    path : path
    white : float or None
        The value that is white in images of 32 bits, integer or float, which do not say it themselves.
    """
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            return _rgb(image, white)
    except _UNREADABLE as error:
        raise StudyError(f"{path} cannot be read as an image: {in_one_line(error)}") from error


def image_at(dataset, index):
    """The image of a sample as RGB.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields PIL images, or tuples that start with one. Its attribute `white`, if it has one, is as of `load`.
    index : int
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
            return _rgb(image, getattr(dataset, "white", None))
    except _UNREADABLE as error:
        raise StudyError(f"{_name(dataset, index)} cannot be read: {in_one_line(error)}") from error
    raise StudyError(f"{type(dataset).__name__} yields {type(image).__name__}, not images: use an image data set")


def _name(dataset, index):
    listed = images_of(dataset)
    image = None if listed is None else listed[index]
    path = image[0] if isinstance(image, (tuple, list)) else image
    return str(path) if isinstance(path, (str, os.PathLike)) else f"image {index} of {type(dataset).__name__}"


def _rgb(image, white):
    """An image of any mode as 8-bit RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        plain = _grey(image, _white(image, white))
    elif image.mode == "P" and "transparency" in image.info:
        plain = image.convert("RGBA")
    else:
        plain = image
    return plain.convert("RGB")


def _white(image, white):
    """The value that is white: the file's own, or else the one given."""
    if image.mode.startswith("I;16"):
        # A TIFF of 12 bits is opened in 16, with the values that it has.
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,)) if image.format == "TIFF" else (16,)
        return float(2 ** bits[0] - 1)
    if image.mode == "I" and image.format in _DEEP_IN_32_BITS:
        return 65535.0
    if white is None:
        raise ValueError(
            f"its pixels are 32-bit {'floats' if image.mode == 'F' else 'integers'}, of which it does not say which "
            "is white: set datasets.NAME.white of this data set in the configuration, such as 1.0, 255 or 65535"
        )
    return white


def _grey(image, white):
    pixels = np.asarray(image).astype(np.float64)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= white):
        raise ValueError(
            f"its pixels are {low:g} to {high:g}, not from 0 to the value that is white, {white:g}"
            f"{'' if image.mode.startswith('I;16') else ' (datasets.NAME.white in the configuration)'}"
        )
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        # Pillow heeds it up to 8 bits.
        pixels = white - pixels
    return Image.fromarray(np.rint(pixels * (255 / white)).astype(np.uint8))
