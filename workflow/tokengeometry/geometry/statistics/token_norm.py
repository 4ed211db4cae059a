"""Token norms: by them the artefacts are found that registers cure (Darcet et al. 2024)."""

import numpy as np

NAME = "norm"
LABEL = "Token norm ‖x‖, mean over images"


def of_moments(moments):
    """The mean and quantiles over the images of the Euclidean norm of a token.

    Parameters
    ----------
    moments : tokengeometry.geometry.moments.Moments

    Returns
    -------
    dict of array, (token,)
        mean, and the quantiles q05, q25, median, q75, q95 and largest.
    """
    norms = moments.norms.astype(np.float64)
    q05, q25, median, q75, q95, largest = np.quantile(norms, [0.05, 0.25, 0.5, 0.75, 0.95, 1], axis=0)
    return {
        "mean": norms.mean(axis=0),
        "q05": q05,
        "q25": q25,
        "median": median,
        "q75": q75,
        "q95": q95,
        "largest": largest,
    }
