"""What reduced tokens are worth, image by image, so that policies are compared on the same images."""

import warnings

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.geometry.uncertainty.fits import coefficients

# Scores that are right or wrong.
SHARES = ("knn_cls", "knn_mean", "probe_cls", "probe_mean")
DRAWS = 1000  # of the bootstrap
# Of the weights of nearest neighbours, exp(cosine / temperature), as is usual for self-supervised models.
TEMPERATURE = 0.07


def right(features, labels, *, neighbours, folds, seed=0):
    """Whether a classifier finds each image's label from its features, having been fitted on other folds.

    Parameters
    ----------
    features : array, (sample, feature)
    labels : array of int, (sample,)
    neighbours : int
        Of weighted k-NN by cosine; the weights are exp(cosine / 0.07).
    folds : int
        Into which the images are dealt, classes evenly.
    seed : int
        Of the deal.

    Returns
    -------
    dict of str to array of bool, (sample,)
        knn, and probe: logistic regression of standardised features.
    """
    deal = StratifiedKFold(folds, shuffle=True, random_state=seed)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    # By cosine, which is 1 − distance.
    knn = KNeighborsClassifier(
        neighbours, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / TEMPERATURE)
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    with warnings.catch_warnings():
        # A class may have fewer images than folds.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            "knn": cross_val_predict(knn, unit, labels, cv=deal) == labels,
            "probe": cross_val_predict(probe, features, labels, cv=deal) == labels,
        }


def alpha_values(features, **fit):
    """α of features over the images, as a number for each image whose mean is α and whose spread tells its error.

    α + ψ_n, with ψ_n what image n does to α: see `tokengeometry.geometry.uncertainty.fits`.

    Parameters
    ----------
    features : array, (sample, feature)
    **fit
        ranks, min_ranks and weights of the configuration.

    Returns
    -------
    array, (sample,), float64
        NaN where there is no α.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values[::-1], vectors[:, ::-1]
    # What float32 rounds.
    floor = np.finfo(np.float32).eps ** 2 * np.square(features, dtype=np.float64).sum(axis=1).mean()
    law = fit_power_law(values, floor=floor, samples=len(features), **fit)
    if np.isnan(law.alpha):
        return np.full(len(features), np.nan)
    used = (values > floor) & (np.arange(len(values)) < len(features) - 1)
    slopes = coefficients(used, fit["ranks"], fit["weights"]).alpha
    within = np.flatnonzero(slopes)
    scores = (centred @ vectors[:, within]) ** 2 / values[within]
    return law.alpha + (scores - 1) @ slopes[within]


def of_images(store, whole, labels, *, neighbours, folds, fit):
    """All scores of a reduced model, image by image.

    Parameters
    ----------
    store : open store
        As of `tokengeometry.reduction.forward.write_reduced`.
    whole : open store
        The same of the model that keeps all its tokens.
    labels : array of int, (sample,), or None
    neighbours, folds : int
        As of `right`.
    fit : dict
        As of `alpha_values`.

    Returns
    -------
    pandas.DataFrame
        A row an image: sample, its index in the split; the likeness to the whole model; with labels `SHARES`, whether
        each was right; alpha_cls and alpha_mean, α less the whole model's. A score is the mean of its column.
    """
    columns = {name: store[name][:].astype(np.float64) for name in store if store[name].dims == ("sample",)}
    for name in ("cls", "mean"):
        if name not in store:
            continue
        features = store[name][:]
        if labels is not None:
            found = right(features, labels, neighbours=neighbours, folds=folds)
            columns |= {f"{classifier}_{name}": its for classifier, its in found.items()}
        columns[f"alpha_{name}"] = alpha_values(features, **fit) - alpha_values(whole[name][:], **fit)
    return pd.DataFrame(columns)


def interval(values):
    """The mean of a score over images and its 95 % interval.

    Parameters
    ----------
    values : array, (sample,)
        Numbers, whose interval is the bootstrap's, by percentiles; or bool, whose interval is Wilson's.

    Returns
    -------
    mean, low, high : float
    """
    values = np.asarray(values)
    mean = float(values.mean())
    if values.dtype == bool:
        its = stats.binomtest(int(values.sum()), len(values)).proportion_ci(method="wilson")
        return mean, its.low, its.high
    if not np.isfinite(mean):
        return mean, np.nan, np.nan
    # Scores near their bound are skewed: a normal interval would pass it.
    drawn = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return mean, float(low), float(high)
