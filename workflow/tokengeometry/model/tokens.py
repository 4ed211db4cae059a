"""The tokens of a model and of its layers: numbers, names, kinds and places.

A token keeps its number over the layers: the prefix tokens come first, and layer 0, which has none, starts at the first
spatial token.
"""

import numpy as np
import pandas as pd


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
    tokens = layer_tokens(model, layer)
    return {
        "layer": ((), np.int64(layer)),
        "token": (("token",), tokens.token.to_numpy(np.int64)),
        "name": (("token",), tokens.name.to_numpy(np.dtypes.StringDType())),
        "kind": (("token",), tokens.kind.to_numpy(np.dtypes.StringDType())),
        "row": (("token",), tokens.row.to_numpy(np.float64, na_value=np.nan)),
        "column": (("token",), tokens.column.to_numpy(np.float64, na_value=np.nan)),
    }


def labels_of_pairs(labels):
    """The same for matrices of tokens: also `other_token` and `other_name` (other_token,), along their second axis."""
    others = {f"other_{name}": (("other_token",), labels[name][1]) for name in ("token", "name") if name in labels}
    return labels | others
