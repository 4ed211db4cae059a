"""The labels of a split's images, where it has some."""

import numpy as np

# Where torchvision's classes list them.
_LISTS = ("targets", "labels", "_labels", "y")


def labels_of(dataset, samples):
    """The class of each sample, as torchvision's data set has it.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Opened by `tokengeometry.data.splits.open_split`.
    samples : sequence of int, (sample,)
        Indices into it.

    Returns
    -------
    array of int64, (sample,), or None
        None where the images have no class each, or all the same one.
    """
    listed = next((found for name in _LISTS if (found := getattr(dataset, name, None)) is not None), None)
    # Some classes have them with the images only.
    labels = [dataset[int(sample)][1:] for sample in samples] if listed is None else np.asarray(listed)[samples]
    if listed is None:
        labels = [its[0] if len(its) == 1 else None for its in labels]
    found = np.array(list(labels))
    if found.ndim != 1 or found.dtype.kind not in "iu" or (found < 0).any() or len(np.unique(found)) < 2:
        return None
    return found.astype(np.int64)
