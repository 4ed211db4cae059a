"""Thumbnails of a pool of images in one picture."""

import io
import math

import numpy as np
from PIL import Image

from tokengeometry.explorer.influences import NONE

# Pixels of a thumbnail, bytes of all, and of one at most as JPEG has them.
SIDE = 40
MOST_BYTES = 3 * 2**19
IMAGE_BYTES = 1100


def pool(extremes):
    """The images that are worth a thumbnail: those that are among the most influential ones most often.

    Parameters
    ----------
    extremes : array of uint32
        As of `tokengeometry.explorer.influences.extremes`, of all layers.

    Returns
    -------
    array of int, (image,)
        Positions among the images in folds, as many as `MOST_BYTES` have room for.
    """
    images, times = np.unique(extremes[extremes != NONE], return_counts=True)
    order = np.argsort(-times, kind="stable")[: MOST_BYTES // IMAGE_BYTES]
    return np.sort(images[order]).astype(int)


def sheet(images):
    """Thumbnails side by side, as a JPEG.

    Parameters
    ----------
    images : iterable of PIL.Image.Image
        The middle square of each is shown.

    Returns
    -------
    content : bytes
        At most `MOST_BYTES`: the quality gives way.
    columns : int
        Thumbnails in a row.
    """
    thumbnails = [_square(image) for image in images]
    columns = max(1, math.isqrt(len(thumbnails)))
    rows = -(-len(thumbnails) // columns)
    whole = Image.new("RGB", (columns * SIDE, max(1, rows) * SIDE))
    for index, thumbnail in enumerate(thumbnails):
        row, column = divmod(index, columns)
        whole.paste(thumbnail, (column * SIDE, row * SIDE))
    for quality in (85, 70, 50, 30, 10):
        file = io.BytesIO()
        whole.save(file, "JPEG", quality=quality)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue(), columns


def _square(image):
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.convert("RGB").crop((left, top, left + side, top + side))
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
