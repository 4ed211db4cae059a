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


# What a note says of `draw_interval`.
INTERVAL = "narrow band: 95 % interval of α without its bias in N"


def draw_interval(axes, table, name, colour, means=None):
    """Draw the 95 % interval of a curve of α, where the table has one.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    table : pandas.DataFrame
        Of α.
    name : str
        A key of `KINDS`, or "cluster K".
    colour : matplotlib colour
    means : pandas.DataFrame, optional
        `alpha_means.csv`: has the intervals of means over tokens.

    Returns
    -------
    list of float
        The interval's ends; empty where there is none.
    """
    if name == "mean" or name.startswith("cluster"):
        rows = table[:0] if means is None else means[means["group"] == ("tokens" if name == "mean" else name)]
    else:
        rows = table[(table["name"] == name) & ~(table["kind"] == "spatial")]
    if "low" not in rows:
        return []
    rows = rows[rows["low"].notna()].sort_values("layer")
    axes.fill_between(rows["layer"], rows["low"], rows["high"], color=colour, alpha=0.45, linewidth=0.6)
    return [*rows["low"], *rows["high"]]
