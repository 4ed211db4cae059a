"""Correlation between tokens.

Pearson's correlation of the flattened activations (N·D values) of every pair of tokens, from the
moments: Σ_nd (x_s − m_s)(x_t − m_t) = gram_st + N ⟨μ_s − m_s, μ_t − m_t⟩ with m_t the mean of μ_t over
the features.
"""

import numpy as np

from tokengeometry.geometry.moments import read_merged
from tokengeometry.geometry.noise_floor import rounding_variance
from tokengeometry.storage import zarr_store


def pearson(mean, gram, count, *, floor=0.0):
    """Pearson's correlation of every pair of tokens.

    Parameters
    ----------
    mean : array, (token, feature), float64
        Mean over samples.
    gram : array, (token, token), float64
        Σ_n ⟨x_s − μ_s, x_t − μ_t⟩.
    count : int
        N.
    floor : float or array, (token,)
        Variance that rounding alone makes, by feature. A token whose variance over the samples is not
        above it is the same in every sample; its correlations are undefined.

    Returns
    -------
    array, (token, token), float64
        NaN where undefined.
    """
    offset = mean - mean.mean(axis=1, keepdims=True)
    covariance = gram + count * (offset @ offset.T)
    return _scaled(covariance, _varies(gram, count, mean.shape[1], floor))


def centred(gram, count, features, *, floor=0.0):
    """The correlation of every pair of tokens where every feature is centred over the samples.

    It is gram_st / √(gram_ss gram_tt): what `pearson` finds of tokens whose means over the samples are 0.

    Parameters
    ----------
    gram : array, (token, token), float64
        Σ_n ⟨x_s − μ_s, x_t − μ_t⟩.
    count : int
        N.
    features : int
        D.
    floor : float or array, (token,)
        As of `pearson`.

    Returns
    -------
    array, (token, token), float64
        NaN where undefined.
    """
    return _scaled(gram, _varies(gram, count, features, floor))


def _varies(gram, count, features, floor):
    return np.diag(gram) > np.maximum(floor, 0) * count * features


def _scaled(products, defined):
    """Products over the root of those of each token with itself; NaN of tokens that are not defined."""
    scale = np.sqrt(np.where(defined, np.diag(products), np.nan))
    return np.clip(products / scale[:, None] / scale[None, :], -1, 1)


def pair_means(correlation, prefix_tokens):
    """Means of a correlation matrix over pairs of tokens; pairs that are undefined are left out.

    Parameters
    ----------
    correlation : array, (token, token)
    prefix_tokens : sequence of str
        Names of the tokens before the spatial ones, as in `model.json`.

    Returns
    -------
    dict
        `mean` over the strict lower triangle, `mean_spatial` over pairs of spatial tokens,
        `mean_cls_spatial` over pairs of the class token and a spatial one, `undefined_tokens`.
    """
    prefix = len(prefix_tokens)
    spatial = correlation[prefix:, prefix:]
    cls = correlation[list(prefix_tokens).index("cls"), prefix:] if "cls" in prefix_tokens else np.empty(0)
    return {
        "mean": _mean(correlation[np.tril_indices(len(correlation), -1)]),
        "mean_spatial": _mean(spatial[np.tril_indices(len(spatial), -1)]),
        "mean_cls_spatial": _mean(cls),
        "undefined_tokens": int(np.isnan(np.diag(correlation)).sum()),
    }


def _mean(values):
    defined = values[~np.isnan(values)]
    return defined.mean() if len(defined) else np.nan


def write(path, parts, /, **attributes):
    """Write the correlation matrix of a layer.

    Parameters
    ----------
    path : path
        The store to make: `correlation` (token, other_token).
    parts : sequence of open moment stores
    **attributes
        Kept with the store.
    """
    merged = read_merged(parts, scatter=False)
    features = merged.mean.shape[1]
    mean_square = np.diag(merged.gram) / (merged.count * features) + (merged.mean**2).mean(axis=1)
    floor = rounding_variance(mean_square, parts[0].attributes["dtypes"])
    with zarr_store.create(path, parts[0].labels, samples=merged.count, **attributes) as store:
        matrix = pearson(merged.mean, merged.gram, merged.count, floor=floor)
        store.write("correlation", matrix, ("token", "other_token"))
