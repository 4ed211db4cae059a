"""Curves over layers, taken from the α table, and how each kind of curve is drawn."""

import pandas as pd

from tokengeometry.figures import style
from tokengeometry.tables import TOKENS

# name of the curve → legend entry, colour
KINDS = {
    "cls": ("CLS token", style.CLS),
    "mean": ("mean of the tokens' α", style.TOKEN_MEAN),
    "averaged": ("averaged token", style.AVERAGED),
    "pooled": ("all tokens, pooled", style.POOLED),
    "concatenated": ("all tokens, concatenated", style.CONCATENATED),
}


def curve(alpha: pd.DataFrame, name: str) -> pd.Series:
    """α by layer of one curve of ``KINDS``, without the layers where it is undefined.

    ``alpha`` is the α table. ``mean`` is over the prefix and spatial tokens that have an α at that layer.
    The series is empty where the model has no such token.
    """
    defined = alpha[alpha["alpha"].notna()]
    if name == "mean":
        tokens = defined[defined["kind"].isin(TOKENS)]
        return tokens.groupby("layer")["alpha"].mean()
    if name == "cls":
        rows = defined[(defined["kind"] == "prefix") & (defined["name"] == "cls")]
    else:
        rows = defined[defined["kind"] == name]
    return rows.set_index("layer")["alpha"].sort_index()
