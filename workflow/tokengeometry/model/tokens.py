"""The tokens of a model and of its layers: numbers, names, kinds and places.

A token keeps its number over the layers: the prefix tokens come first, and layer 0, which has none, starts at the first
spatial token.
"""

import numpy as np


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
    # Most jobs write stores only, and start sooner without pandas.
    import pandas as pd

    return pd.DataFrame(_columns(model)).astype({"row": "Int64", "column": "Int64"})


def _columns(model):
    """The columns of all tokens: arrays of numbers, lists of text; row and column are NaN for prefix tokens."""
    rows, columns = model["grid"]
    prefix = model["prefix_tokens"]
    row, column = np.indices((rows, columns)).reshape(2, -1)
    nowhere = np.full(len(prefix), np.nan)
    return {
        "token": np.arange(len(prefix) + rows * columns, dtype=np.int64),
        "name": [*prefix, *(f"{r},{c}" for r, c in zip(row, column, strict=True))],
        "kind": ["prefix"] * len(prefix) + ["spatial"] * (rows * columns),
        "row": np.concatenate([nowhere, row]),
        "column": np.concatenate([nowhere, column]),
    }


def layer_tokens(model, layer):
    """The tokens that a layer has, in the order of its arrays: layer 0 has no prefix tokens.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    layer : int

    Returns
    -------
    pandas.DataFrame
        Those rows of `token_table`.
    """
    tokens = token_table(model)
    return tokens if layer else tokens[tokens.kind == "spatial"]


def labels(model, layer):
    """The coordinates of a layer's stores.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    layer : int

    Returns
    -------
    dict of str to (tuple of str, array)
        Dimensions and values: `layer` (), int64; `token` (token,), int64, with `name` and `kind` (token,), text, and
        `row` and `column` (token,), float64, NaN for prefix tokens.
    """
    first = 0 if layer else len(model["prefix_tokens"])
    columns = {name: values[first:] for name, values in _columns(model).items()}
    for name in ("name", "kind"):
        columns[name] = np.array(columns[name], np.dtypes.StringDType())
    return {"layer": ((), np.int64(layer))} | {name: (("token",), values) for name, values in columns.items()}


def labels_of_pairs(labels):
    """The same for matrices of tokens: also `other_token` and `other_name` (other_token,), along their second axis."""
    others = {f"other_{name}": (("other_token",), labels[name][1]) for name in ("token", "name") if name in labels}
    return labels | others
