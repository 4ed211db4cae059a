"""Tidy tables of a branch: α of every token and layer, mean correlations, clusters.

A token keeps its index over the layers: the prefix tokens come first, and layer 0, which has none,
starts at the first spatial token.
"""

import numpy as np
import pandas as pd

from tokengeometry.geometry import statistics
from tokengeometry.geometry.clusters import complete_trajectories
from tokengeometry.model.tokens import layer_tokens
from tokengeometry.storage.whole_files import whole

# Kinds of rows of the α table that are single tokens.
TOKENS = ("prefix", "spatial")
# Those that are of all tokens together, in the order of the table.
TOGETHER = ("averaged", "pooled", "concatenated")
PLACE_COLUMNS = ["layer", "token", "name", "kind", "row", "column"]


def spectra_of(store):
    """The spectra of one layer.

    Parameters
    ----------
    store : open store
        `spectra/layer_….zarr`.

    Returns
    -------
    dict of str to (eigenvalues, floor, samples)
        "token" (token, rank), and each of `TOGETHER` (rank,).
    """
    samples, tokens = store.attributes["samples"], store.attributes["tokens"]
    counts = {
        "averaged": samples,
        "pooled": samples * tokens,
        "concatenated": store.attributes["concatenated_samples"],
    }
    spectra = {"token": (store["eigenvalues"][:], store["floor"][:], samples)}
    return spectra | {kind: (store[kind][:], store[f"{kind}_floor"][:], counts[kind]) for kind in TOGETHER}


def statistic_table(name, layers, model, **settings):
    """A statistic of every token, layer by layer; one of spectra also of all tokens together.

    Parameters
    ----------
    name : str
        Of a module of `tokengeometry.geometry.statistics`.
    layers : dict of int to open store
        By layer, its spectra store.
    model : dict
        The content of `model.json`.
    **settings
        Of the configuration, as the statistic takes them.

    Returns
    -------
    pandas.DataFrame
        `PLACE_COLUMNS`, then the statistic's arrays; the first of them is empty where it is undefined, and
        `reason` says why.
    """
    # What only reads tables starts sooner without zarr.
    from tokengeometry.geometry.moments import Moments

    statistic = statistics.load(name)
    frames = []
    for layer, store in sorted(layers.items()):
        tokens = layer_tokens(model, layer).astype({"token": "Int64"})
        if hasattr(statistic, "of_moments"):
            moments = Moments(store.attributes["samples"], store["mean"][:], None, None, norms=store["norms"][:])
            frames.append(tokens.assign(layer=layer, **statistic.of_moments(moments, **settings)))
            continue
        for kind, spectrum in spectra_of(store).items():
            rows = tokens
            if kind in TOGETHER:
                rows = pd.DataFrame({"name": [kind], "kind": [kind]}).reindex(columns=tokens.columns)
            values = {key: np.atleast_1d(array) for key, array in statistic.of_spectrum(*spectrum, **settings).items()}
            frames.append(rows.astype({"token": "Int64"}).assign(layer=layer, **values))
    table = pd.concat(frames, ignore_index=True)
    if "reason" not in table:
        table["reason"] = ""
    return table[PLACE_COLUMNS + [column for column in table if column not in PLACE_COLUMNS]]


def value_of(table):
    """The column of a statistic's table that figures show: the first of its arrays.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `statistic_table`.

    Returns
    -------
    str
    """
    return table.columns[len(PLACE_COLUMNS)]


def undefined_rows(table):
    """A sentence for every layer of a statistic's table with rows that are empty.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `statistic_table`.

    Returns
    -------
    list of str
    """
    value = value_of(table)
    return [
        f"layer {layer}: no {value} for {len(rows)} rows ({'; '.join(rows.reason.unique())})"
        for layer, rows in table[table[value].isna()].groupby("layer")
    ]


def trajectories(alpha):
    """The α trajectories of the spatial tokens.

    Parameters
    ----------
    alpha : pandas.DataFrame
        As of `statistic_table` for α.

    Returns
    -------
    pandas.DataFrame
        Indexed by token, a column a layer; NaN where α is empty.
    """
    spatial = alpha[alpha.kind == "spatial"]
    return spatial.pivot(index="token", columns="layer", values="alpha").sort_index(axis=1)


def cluster_table(alpha, clusters):
    """Clusters of the spatial tokens.

    Parameters
    ----------
    alpha : pandas.DataFrame
        As of `statistic_table` for α.
    clusters : tokengeometry.geometry.clusters.Clusters
        Of `trajectories(alpha)`.

    Returns
    -------
    pandas.DataFrame
        Columns token, row, column, umap_1, umap_2, cluster, mean_alpha (over the layers of the
        trajectory), reason (why a token has no cluster).
    """
    table = trajectories(alpha)
    places = alpha[alpha.kind == "spatial"].drop_duplicates("token").set_index("token")
    complete, _ = complete_trajectories(table.to_numpy())
    gaps = np.where(table.notna().any(axis=1), "alpha at too few layers", "no alpha at any layer")
    reason = np.where(complete, "too few complete trajectories", gaps)
    labelled = clusters.label > 0
    values = table.loc[:, clusters.layers]
    return pd.DataFrame(
        {
            "token": table.index,
            "row": places.row.loc[table.index].to_numpy(),
            "column": places.column.loc[table.index].to_numpy(),
            "umap_1": clusters.embedding[:, 0],
            "umap_2": clusters.embedding[:, 1],
            "cluster": pd.array(np.where(labelled, clusters.label, None), dtype="Int64"),
            "mean_alpha": values.mean(axis=1).where(labelled).to_numpy() if labelled.any() else np.nan,
            "reason": np.where(labelled, "", reason),
        }
    )


def correlation_table(matrices, model, uncertainty=None, samples=None):
    """Mean correlations, layer by layer.

    Parameters
    ----------
    matrices : dict of int to array, (token, token)
        By layer.
    model : dict
        The content of `model.json`.
    uncertainty : dict of int to open store, optional
        By layer, `uncertainty/layer_….zarr`.
    samples : int, optional
        N; needed with `uncertainty`, whose errors are of the images in folds.

    Returns
    -------
    pandas.DataFrame
        Columns layer and those of `tokengeometry.geometry.correlation.pair_means`; for each of its means K a standard
        error, K_se; and the same of other measures of similarity, centred_K and centred_K_se, cka_…, cosine_…: see
        `tokengeometry.geometry.uncertainty.similarity`. What is not known is NaN.
    """
    from tokengeometry.geometry.correlation import pair_means
    from tokengeometry.geometry.uncertainty.similarity import KINDS, MEASURES, PREFIXES

    rows = []
    for layer, matrix in sorted(matrices.items()):
        rows.append({"layer": layer, **pair_means(matrix, model["prefix_tokens"] if layer else [])})
        value, error = np.full((2, len(MEASURES), len(KINDS)), np.nan)
        if uncertainty:
            value, error = (uncertainty[layer][name][:] for name in ("similarity", "similarity_error"))
            # That of CKA is of the images it takes.
            scaled = np.array([measure != "cka" for measure in MEASURES])
            error[scaled] *= np.sqrt(uncertainty[layer].attributes["samples"] / samples)
        for measure, values, errors in zip(MEASURES, value, error, strict=True):
            # Correlation itself is of all images.
            prefix = PREFIXES[measure]
            for kind, its_value, its_error in zip(KINDS, values, errors, strict=True):
                rows[-1] |= ({f"{prefix}{kind}": its_value} if prefix else {}) | {f"{prefix}{kind}_se": its_error}
    return pd.DataFrame(rows)


def token_pairs(train, test):
    """Every layer and token that has an α on both splits.

    Parameters
    ----------
    train, test : pandas.DataFrame
        As of `statistic_table` for α.

    Returns
    -------
    pandas.DataFrame
        Columns layer, token, name, alpha_train, alpha_test, difference (train − test).
    """
    pairs = _defined(train, TOKENS).merge(
        _defined(test, TOKENS).drop(columns="name"), on=["layer", "token"], suffixes=("_train", "_test")
    )
    return pairs.assign(difference=pairs.alpha_train - pairs.alpha_test)


def train_test_table(train, test):
    """How far α on the train split is from α on the test split, layer by layer.

    Parameters
    ----------
    train, test : pandas.DataFrame
        As of `statistic_table` for α.

    Returns
    -------
    pandas.DataFrame
        Columns layer, tokens (that have an α on both splits), mean_difference and largest_difference (of
        |Δα| over them), token and name (where it is largest), undefined_tokens (that have none on one split
        or both), averaged_difference, pooled_difference, concatenated_difference (|Δα| of all tokens together). Of
        corrected α: mean_corrected_difference (of |Δα|); corrected_difference (train − test), corrected_name and z of
        the token whose difference has the most standard errors, and p of z among all tokens and layers (Bonferroni).
    """
    distances = token_pairs(train, test)
    distances = distances.assign(difference=distances.difference.abs())
    by_layer = distances.groupby("layer").difference
    layers = pd.Index(sorted({*train.layer, *test.layer}), name="layer")
    largest = distances.loc[by_layer.idxmax()].set_index("layer")
    every = pd.concat([train, test])
    every = every[every.kind.isin(TOKENS)].groupby("layer").token.nunique().reindex(layers)
    count = by_layer.size().reindex(layers, fill_value=0)
    table = {
        "tokens": count,
        "mean_difference": by_layer.mean(),
        "largest_difference": largest.difference,
        "token": largest.token.astype("Int64"),
        "name": largest.name,
        "undefined_tokens": every - count,
    }
    for kind in TOGETHER:
        table[f"{kind}_difference"] = (
            _defined(train, [kind]).set_index("layer").alpha - _defined(test, [kind]).set_index("layer").alpha
        ).abs()
    return pd.DataFrame(table | _corrected(train, test), index=layers).reset_index()


def _corrected(train, test):
    """The columns of `train_test_table` that are of corrected α, by layer."""
    from scipy.special import ndtr

    columns = ["layer", "token", "name", "alpha_corrected", "se"]
    first, second = (its.loc[its.kind.isin(TOKENS) & its.alpha_corrected.notna(), columns] for its in (train, test))
    pairs = first.merge(second.drop(columns="name"), on=["layer", "token"], suffixes=("", "_test"))
    pairs = pairs.assign(difference=pairs.alpha_corrected - pairs.alpha_corrected_test)
    pairs = pairs.assign(z=pairs.difference / np.hypot(pairs.se, pairs.se_test))
    by_layer = pairs.assign(size=pairs.difference.abs()).groupby("layer")["size"]
    largest = pairs.loc[pairs.z.abs().groupby(pairs.layer).idxmax()].set_index("layer")
    return {
        "mean_corrected_difference": by_layer.mean(),
        "corrected_difference": largest.difference,
        "corrected_name": largest.name,
        "z": largest.z,
        "p": pd.Series(np.minimum(1, len(pairs) * 2 * ndtr(-largest.z.abs().to_numpy(float))), largest.index),
    }


def _defined(alpha, kinds):
    return alpha.loc[alpha.kind.isin(kinds) & alpha.alpha.notna(), ["layer", "token", "name", "alpha"]]


def write(path, table):
    """Write a table as CSV; it takes its name only once it is whole.

    Parameters
    ----------
    path : path
    table : pandas.DataFrame
    """
    with whole(path) as partial:
        table.to_csv(partial, index=False)


def read(path):
    """A table as it was written.

    Parameters
    ----------
    path : path

    Returns
    -------
    pandas.DataFrame
        Indices and counts that may be empty stay integers, texts that are empty stay texts.
    """
    texts = ("name", "kind", "reason", "doubt", "claim")
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
    integers = [c for c in ("layer", "token", "row", "column", "ranks", "cluster") if c in table]
    empty = {column: "" for column in texts if column in table}
    return table.fillna(empty).astype(dict.fromkeys(integers, "Int64"))
