"""Which images are rounded to 8 bits as the model sees them, and which of those are grey."""

import numpy as np

NONE, GREY, COLOUR = range(3)
# Of a step of 1/255. float32 has its values of 0 to 1 to 10⁻⁵ of a step.
TOLERANCE = 1e-2
# Images that are looked at together.
IMAGES = 8


def kinds(images, mean, std):
    """What each image is, by its pixels: a grey photograph that was saved in colour is grey.

    Parameters
    ----------
    images : torch.Tensor, (sample, channel, row, column), float32
        Normalised.
    mean, std : sequence of float
        With which they were, one for each channel.

    Returns
    -------
    array of int8, (sample,)
        `NONE` where the pixels are not on the 8-bit grid, as after resizing in floating point; `GREY` where they are
        and all channels are alike; else `COLOUR`.
    """
    mean, std = (images.new_tensor(values)[:, None, None] for values in (mean, std))
    # A few at a time: beside a batch there is no room for copies of it.
    return np.concatenate([_kinds(piece, mean, std) for piece in images.split(IMAGES)])


def _kinds(images, mean, std):
    steps = (images * std + mean) * 255
    rounded = steps.round()
    on_grid = (steps - rounded).abs().amax(dim=(1, 2, 3)) < TOLERANCE
    grey = (rounded == rounded[:, :1]).all(dim=(1, 2, 3)) if images.shape[1] > 1 else on_grid.new_zeros(len(images))
    found = np.where(grey.numpy(force=True), GREY, COLOUR)
    return np.where(on_grid.numpy(force=True), found, NONE).astype(np.int8)


def summary(found, std):
    """What a store says of its images: attributes for JSON.

    Parameters
    ----------
    found : array of int8, (sample,)
        As of `kinds`.
    std : sequence of float

    Returns
    -------
    dict
        samples; how many of them are grey, and colour; step, of each channel in the unit of the pixels.
    """
    return {
        "samples": len(found),
        "grey": int((found == GREY).sum()),
        "colour": int((found == COLOUR).sum()),
        "step": [1 / 255 / deviation for deviation in std],
    }


def together(summaries):
    """The summary of all images of several stores.

    Parameters
    ----------
    summaries : sequence of dict or None
        As of `summary`; None for a layer that isn't the pixels.

    Returns
    -------
    dict or None
    """
    if not all(summaries):
        return None
    counts = {name: sum(part[name] for part in summaries) for name in ("samples", "grey", "colour")}
    return counts | {"step": summaries[0]["step"]}
