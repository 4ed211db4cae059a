"""α over the layers, by the range of ranks that is fitted."""

import matplotlib

from tokengeometry.figures import style
from tokengeometry.figures.curves import KINDS

_TITLES = {"cls": KINDS["cls"][0], "spatial": "mean of the spatial tokens", "pooled": KINDS["pooled"][0]}


@style.applied
def fit_ranges(table, ranks):
    """Draw a panel for CLS, the spatial tokens and the pooled ones, and in it a curve for each range.

    Parameters
    ----------
    table : pandas.DataFrame
        `fit_ranges.csv`: columns layer, group, first, last, alpha, alpha_corrected.
    ranks : (int, int)
        The study's own range.

    Returns
    -------
    matplotlib.figure.Figure
    """
    groups = [group for group in _TITLES if (table["group"] == group).any()]
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.9)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    lasts = sorted(table["last"].unique())
    colours = dict(zip(lasts, matplotlib.colormaps[style.LAYER_MAP](_spread(len(lasts))), strict=True))
    corrected = table["alpha_corrected"].notna().any()
    value = "alpha_corrected" if corrected else "alpha"
    drawn, entries = [], {}
    for axes, group in zip(panels, groups, strict=True):
        for (first, last), rows in table[table["group"] == group].groupby(["first", "last"]):
            rows = rows[rows[value].notna()].sort_values("layer")
            own = (first, last) == tuple(ranks)
            look = dict(color="black", linewidth=1.6, zorder=3) if own else dict(color=colours[last], linewidth=0.7)
            label = f"ranks {first}–{last}, the study's" if own else f"to rank {last}"
            (entries[label],) = axes.plot(rows["layer"], rows[value], **look)
            drawn += [*rows[value]]
        axes.set_title(_TITLES[group], loc="left")
        style.layer_axis(axes, table["layer"])
    limits = style.alpha_limits(drawn)
    for axes in panels:
        axes.set_yscale("log")
        axes.set_ylim(limits)
        style.alpha_axis(axes.yaxis, *limits)
    panels[0].set_ylabel("Power-law exponent α")
    if drawn:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries))
    firsts = ", ".join(str(first) for first in sorted(table["first"].unique()))
    words = "without its bias in N" if corrected else "as fitted"
    style.note(figure, [f"α {words}; a curve for each first rank of {firsts}"])
    return figure


def _spread(count):
    return [0.1 + 0.75 * index / max(count - 1, 1) for index in range(count)]
