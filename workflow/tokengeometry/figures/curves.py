"""Curves over layers, taken from the table of a statistic, and how each kind of curve is drawn."""

from tokengeometry.figures import style
from tokengeometry.tables import TOKENS, value_of

# name of the curve → legend entry, colour
KINDS = {
    "cls": ("CLS token", style.CLS),
    "mean": ("mean of the tokens' α", style.TOKEN_MEAN),
    "averaged": ("averaged token", style.AVERAGED),
    "pooled": ("all tokens, pooled", style.POOLED),
    "concatenated": ("all tokens, concatenated", style.CONCATENATED),
}


def curve(table, name):
    """A statistic by layer of one curve of `KINDS`, without the layers where it is undefined.

    Parameters
    ----------
    table : pandas.DataFrame
        The statistic's, such as that of α.
    name : str
        A key of `KINDS`. "mean" is over the prefix and spatial tokens that have a value at that layer.

    Returns
    -------
    pandas.Series
        Indexed by layer, ascending; empty where the table has no such row.
    """
    value = value_of(table)
    defined = table[table[value].notna()]
    if name == "mean":
        tokens = defined[defined["kind"].isin(TOKENS)]
        return tokens.groupby("layer")[value].mean()
    if name == "cls":
        rows = defined[(defined["kind"] == "prefix") & (defined["name"] == "cls")]
    else:
        rows = defined[defined["kind"] == name]
    return rows.set_index("layer")[value].sort_index()
