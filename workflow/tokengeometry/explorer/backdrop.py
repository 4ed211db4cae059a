"""What is behind the token grid, both from layer 0: the mean image, and how much the images differ from it."""

import numpy as np


def mean_image(mean, model):
    """The mean of the images as the model sees them.

    Parameters
    ----------
    mean : array, (token, feature)
        Of layer 0: mean patches, normalised.
    model : dict
        The content of `model.json`.

    Returns
    -------
    array of uint8, (row, column, 3)
        In pixels of the model's input; black is 0.
    """
    patches = _patches(mean, model)
    scale, offset = (np.asarray(model[key])[:, None, None] for key in ("std", "mean"))
    return _rgb(patches * scale + offset)


def spread_image(eigenvalues, model):
    """The standard deviation of the images' pixels, patch by patch.

    A patch's eigenvalues add up to the variance of its pixels, so no other store is needed.

    Parameters
    ----------
    eigenvalues : array, (token, rank)
        Of layer 0.
    model : dict
        The content of `model.json`.

    Returns
    -------
    image : array of uint8, (row, column, 3)
        One pixel a patch. White is the largest.
    largest : float
        The standard deviation that is white, in those of the model's normalisation.
    """
    deviation = np.sqrt(np.maximum(eigenvalues, 0).sum(axis=1) / eigenvalues.shape[1])
    largest = float(deviation.max())
    return _rgb(deviation.reshape(1, *model["grid"]) / (largest or 1)), largest


def _patches(values, model):
    """Values of pixels, (token, feature), as (channel, row, column)."""
    rows, columns = model["grid"]
    height, width = model["patch_size"]
    tiles = values.reshape(rows, columns, -1, height, width)
    return tiles.transpose(2, 0, 3, 1, 4).reshape(-1, rows * height, columns * width)


def _rgb(channels):
    grey = np.broadcast_to(channels, (3, *channels.shape[1:])) if len(channels) == 1 else channels[:3]
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
