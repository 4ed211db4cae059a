"""Tidy tables of a branch: α of every token and layer, mean correlations, clusters.

A token keeps its index over the layers: the prefix tokens come first, and layer 0, which has none,
starts at the first spatial token.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from tokengeometry.errors import naming
from tokengeometry.geometry.clusters import complete_trajectories
from tokengeometry.geometry.correlation import pair_means
from tokengeometry.geometry.statistics.power_law import fit_power_law

# Kinds of rows of the α table that are single tokens.
TOKENS = ("prefix", "spatial")
# Those that are of all tokens together, in the order of the table.
TOGETHER = ("averaged", "pooled", "concatenated")
ALPHA_COLUMNS = ["layer", "token", "name", "kind", "row", "column", "alpha", "r2", "ranks", "reason"]


def token_table(model):
    """Index, name, kind and place of every token.

    Parameters
    ----------
    model : dict
        The content of `model.json`.

    Returns
    -------
    pandas.DataFrame
        Columns token, name, kind (prefix or spatial), row, column.
    """
    rows, columns = model["grid"]
    prefix = model["prefix_tokens"]
    row, column = (axis.ravel() for axis in np.indices((rows, columns)))
    return pd.DataFrame(
        {
            "token": np.arange(len(prefix) + rows * columns),
            "name": [*prefix, *(f"{r},{c}" for r, c in zip(row, column, strict=True))],
            "kind": ["prefix"] * len(prefix) + ["spatial"] * (rows * columns),
            "row": pd.array([pd.NA] * len(prefix) + row.tolist(), dtype="Int64"),
            "column": pd.array([pd.NA] * len(prefix) + column.tolist(), dtype="Int64"),
        }
    )


def layer_tokens(model, layer):
    """The tokens that a layer has, in the order of its arrays: layer 0 has no prefix tokens."""
    tokens = token_table(model)
    return tokens if layer else tokens[tokens.kind == "spatial"]


def fit_layer(spectra, **fit):
    """The power laws of one layer.

    Parameters
    ----------
    spectra : open store
        `spectra/layer_….zarr`.
    **fit
        Arguments of `tokengeometry.geometry.statistics.power_law.fit_power_law`: ranks, min_ranks, weights.

    Returns
    -------
    dict
        `token`, `averaged`, `pooled`, `concatenated`: `PowerLaw` each.
    """
    samples = spectra.attributes["samples"]
    tokens = spectra.attributes["tokens"]
    return {
        "token": fit_power_law(spectra["eigenvalues"][:], floor=spectra["floor"][:], samples=samples, **fit),
        "averaged": fit_power_law(spectra["averaged"][:], floor=spectra["averaged_floor"][...], samples=samples, **fit),
        "pooled": fit_power_law(
            spectra["pooled"][:], floor=spectra["pooled_floor"][:], samples=samples * tokens, **fit
        ),
        "concatenated": fit_power_law(
            spectra["concatenated"][:],
            floor=spectra["concatenated_floor"][:],
            samples=spectra.attributes["concatenated_samples"],
            **fit,
        ),
    }


def alpha_table(spectra, model, **fit):
    """α of every token, of the averaged token, of all tokens pooled and of all concatenated, layer by layer.

    Parameters
    ----------
    spectra : dict of int to open store
        By layer.
    model : dict
        The content of `model.json`.
    **fit
        Arguments of `tokengeometry.geometry.statistics.power_law.fit_power_law`: ranks, min_ranks, weights.

    Returns
    -------
    pandas.DataFrame
        With `ALPHA_COLUMNS`; `reason` says why an α is empty: "constant", or how many of the ranks
        are resolved.
    """
    frames = []
    for layer, store in sorted(spectra.items()):
        laws = fit_layer(store, **fit)
        present = layer_tokens(model, layer)
        frames.append(_rows(present, layer, laws["token"], fit["ranks"]))
        for kind in TOGETHER:
            name = pd.DataFrame({"name": [kind], "kind": [kind]}).reindex(columns=present.columns)
            frames.append(_rows(name.astype({"token": "Int64"}), layer, laws[kind], fit["ranks"]))
    return pd.concat(frames, ignore_index=True)[ALPHA_COLUMNS]


def _rows(tokens, layer, law, ranks):
    found = law.alpha, law.r2, law.ranks, law.within, law.resolved
    alpha, r2, fitted, within, resolved = (np.atleast_1d(value) for value in found)
    reasons = np.where(
        resolved == 0, "constant", [f"{count} resolved ranks in {ranks[0]}-{ranks[1]}" for count in within]
    )
    return tokens.astype({"token": "Int64"}).assign(
        layer=layer, alpha=alpha, r2=r2, ranks=fitted, reason=np.where(np.isnan(alpha), reasons, "")
    )


def trajectories(alpha):
    """The α trajectories of the spatial tokens.

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
        As of `alpha_table`.
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


def correlation_table(matrices, model):
    """Mean correlations, layer by layer.

    Parameters
    ----------
    matrices : dict of int to array, (token, token)
        By layer.
    model : dict
        The content of `model.json`.

    Returns
    -------
    pandas.DataFrame
        Columns layer and those of `tokengeometry.geometry.correlation.pair_means`.
    """
    return pd.DataFrame(
        {"layer": layer, **pair_means(matrix, model["prefix_tokens"] if layer else [])}
        for layer, matrix in sorted(matrices.items())
    )


def token_pairs(train, test):
    """Every layer and token that has an α on both splits.

    Parameters
    ----------
    train, test : pandas.DataFrame
        As of `alpha_table`.

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
        As of `alpha_table`.

    Returns
    -------
    pandas.DataFrame
        Columns layer, tokens (that have an α on both splits), mean_difference and largest_difference (of
        |Δα| over them), token and name (where it is largest), undefined_tokens (that have none on one split
        or both), averaged_difference, pooled_difference, concatenated_difference (|Δα| of all tokens together).
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
    return pd.DataFrame(table, index=layers).reset_index()


def _defined(alpha, kinds):
    return alpha.loc[alpha.kind.isin(kinds) & alpha.alpha.notna(), ["layer", "token", "name", "alpha"]]


def write(path, table):
    """Write a table as CSV; it takes its name only once it is whole."""
    partial = Path(f"{path}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path):
            table.to_csv(partial, index=False)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path):
    """A table as it was written; indices and counts that may be empty stay integers."""
    texts = ("name", "kind", "reason")
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
    integers = [c for c in ("layer", "token", "row", "column", "ranks", "cluster") if c in table]
    empty = {column: "" for column in texts if column in table}
    return table.fillna(empty).astype(dict.fromkeys(integers, "Int64"))
