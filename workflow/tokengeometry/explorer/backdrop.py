"""What is behind the token grid: the mean image, and how much the images differ from it."""

import numpy as np

# Images of a batch, and of a branch at most: those of more would look the same, and take long to read.
BATCH, MOST = 8, 2000


def pictures(batches, model):
    """The mean of images and their standard deviation, pixel by pixel.

    Parameters
    ----------
    batches : iterable of array, (image, channel, row, column)
        Images as the model sees them, normalised.
    model : dict
        The content of `model.json`.

    Returns
    -------
    dict of str to array of uint8, (row, column, 3)
        In pixels of the model's input. `mean_image`: black is 0. `spread_image`: white is the largest deviation.
    """
    scale, offset = (np.asarray(model[key])[:, None, None] for key in ("std", "mean"))
    count, total, squares = 0, 0.0, 0.0
    for batch in batches:
        # In parts of white, so that squares lose nothing to speak of.
        light = np.asarray(batch, np.float64) * scale + offset
        count += len(light)
        total += light.sum(axis=0)
        squares += np.square(light).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return {"mean_image": _rgb(mean), "spread_image": _rgb(deviation / (deviation.max() or 1))}


def _rgb(channels):
    grey = np.broadcast_to(channels, (3, *channels.shape[1:])) if len(channels) == 1 else channels[:3]
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
