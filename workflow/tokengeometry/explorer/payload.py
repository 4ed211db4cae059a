"""What of a branch's tables and stores goes into its page."""

import math
from dataclasses import dataclass

import numpy as np

from tokengeometry.explorer import encoding, influences, quantities, sprite
from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.tables import TOGETHER, spectra_of

# Those of all tokens together that have as many ranks as a token.
WITH_SPECTRA = ("averaged", "pooled")


@dataclass(frozen=True)
class Tables:
    """The tables of a branch, as `tokengeometry.tables.read` gives them.

    Attributes
    ----------
    alpha, clusters : pandas.DataFrame
    statistics : dict of str to pandas.DataFrame
        Those of the other statistics, by name.
    """

    alpha: object
    clusters: object
    statistics: dict


@dataclass(frozen=True)
class Stores:
    """The stores of a branch by layer.

    Attributes
    ----------
    spectra, correlations, uncertainty : dict of int to open store
        `uncertainty` is empty without folds.
    """

    spectra: dict
    correlations: dict
    uncertainty: dict


@dataclass(frozen=True)
class Payload:
    """All numbers of a page.

    Attributes
    ----------
    about : dict
        JSON: names, layers, labels and how the arrays are to be read.
    arrays : dict of str to array
        docs/explorer.md describes each.
    pool : array of int, (image,)
        Positions among the images in folds of those that have a thumbnail.
    """

    about: dict
    arrays: dict
    pool: np.ndarray


def of_branch(tables, stores, model, labels, fit, behind, thumbnails=0):
    """Gather what a page shows.

    Parameters
    ----------
    tables : Tables
    stores : Stores
    model : dict
        The content of `model.json`.
    labels : dict of str to str
        What the statistics of `tables.statistics` are called.
    fit : dict
        The configuration's `fit`.
    behind : dict of str to array
        As of `tokengeometry.explorer.backdrop.pictures`.
    thumbnails : int
        How many images a token and a layer get, half of which raise α.

    Returns
    -------
    Payload
    """
    layers = sorted(stores.spectra)
    prefix, (rows_, columns) = len(model["prefix_tokens"]), model["grid"]
    tokens = prefix + rows_ * columns
    rows = quantities.Rows(tokens, layers)
    mean_correlation, correlation = _correlations(stores.correlations, layers, rows, prefix)
    shown = quantities.of_tables(rows, tables.alpha, tables.statistics, labels, mean_correlation, tables.clusters)
    words, codes = quantities.reasons(rows, tables.alpha)
    arrays = {"reasons": codes} | correlation | _spectra(stores.spectra, layers)
    for quantity in shown:
        arrays[f"value_{quantity.key}"] = quantity.values
        if quantity.low is not None:
            arrays |= {f"low_{quantity.key}": quantity.low, f"high_{quantity.key}": quantity.high}
    for axis in (1, 2):
        arrays[f"umap_{axis}"] = _of_tokens(tables.clusters, f"umap_{axis}", tokens)
    about = {
        "layers": layers,
        "grid": [rows_, columns],
        "prefix": list(model["prefix_tokens"]),
        "together": list(TOGETHER),
        "quantities": [{"key": its.key, "label": its.label, "interval": its.low is not None} for its in shown],
        "clusters": int(tables.clusters.cluster.max()) if tables.clusters.cluster.notna().any() else 0,
        "reasons": words,
        "ranks": [stores.spectra[layer]["eigenvalues"].shape[1] for layer in layers],
        "step": encoding.STEP,
        "floor_step": encoding.FLOOR_STEP,
        "floor_ranks": [
            encoding.floor_ranks(stores.spectra[layer]["eigenvalues"].shape[1]).tolist() for layer in layers
        ],
        "fit": dict(fit),
        "samples": int(stores.spectra[layers[0]].attributes["samples"]),
    }
    images, pool, why = _images(stores, layers, fit, thumbnails)
    about |= {"images": why}
    return Payload(about, arrays | behind | images, pool)


def _of_tokens(clusters, column, tokens):
    found = np.full(tokens, np.nan, np.float32)
    found[clusters.token.astype(int)] = clusters[column].astype(np.float32)
    return found


def _correlations(stores, layers, rows, prefix):
    """Every token's mean correlation with the others, (layer, token); and the matrices, encoded."""
    means, encoded = np.full((len(layers), rows.tokens), np.nan, np.float32), []
    for index, layer in enumerate(layers):
        matrix = stores[layer]["correlation"][:]
        encoded.append(encoding.encode_correlation(matrix))
        others = matrix.copy()
        np.fill_diagonal(others, np.nan)
        count = np.isfinite(others).sum(axis=1)
        first = 0 if layer else prefix
        means[index, first:] = np.where(count, np.nansum(others, axis=1) / np.maximum(count, 1), np.nan)
    return means, {"correlation": np.concatenate(encoded)}


def _spectra(stores, layers):
    """The encoded spectra of all layers, one after another: of a layer's tokens, then of `WITH_SPECTRA`."""
    found = {}
    for layer in layers:
        spectra = spectra_of(stores[layer])
        of_layer = [[np.atleast_2d(part) for part in spectra[kind][:2]] for kind in ("token", *WITH_SPECTRA)]
        used = [np.atleast_2d(resolved(*spectra[kind])) for kind in ("token", *WITH_SPECTRA)]
        eigenvalues, floor = (np.concatenate(parts) for parts in zip(*of_layer, strict=True))
        encoded = encoding.encode_spectra(eigenvalues, floor, np.concatenate(used))
        for name, values in encoded.items():
            found.setdefault(f"spectra_{name}", []).append(values.ravel())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _images(stores, layers, fit, thumbnails):
    """The images with the largest influences, as positions and as indices in the split; and what is said of them."""
    nothing = np.empty(0, int)
    if not thumbnails:
        return {}, nothing, {"why": "The study asks for no images (explorer.thumbnails: 0)."}
    if not stores.uncertainty:
        return {}, nothing, {"why": "Without folds (uncertainty.folds: 0) there are no influences of images."}
    last = int(stores.uncertainty[layers[0]]["last_rank"][:].max())
    if fit["ranks"][1] > last:
        return {}, nothing, {"why": f"The folds have {last} ranks, and the fit goes to rank {fit['ranks'][1]}."}
    found = [
        influences.extremes(stores.spectra[layer], stores.uncertainty[layer], math.ceil(thumbnails / 2), **fit)
        for layer in layers
    ]
    samples = stores.uncertainty[layers[0]]["sample"][:].astype(np.uint32)
    # Layer 0 has no prefix tokens.
    influential = np.concatenate([its.ravel() for its in found])
    pool = sprite.pool(influential)
    thumbnail = np.zeros(len(samples), np.uint16)
    thumbnail[pool] = np.arange(1, len(pool) + 1)
    arrays = {"influential": influential, "sample": samples, "thumbnail": thumbnail}
    return arrays, pool, {"why": "", "each": math.ceil(thumbnails / 2), "of": len(samples)}
