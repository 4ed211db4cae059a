"""α on the train split against α on the test split of one data set."""

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tokengeometry.figures import style
from tokengeometry.figures.curves import INTERVAL, KINDS, curve, draw_interval
from tokengeometry.tables import TOKENS, token_pairs

# The two splits can lie on each other: train's dashes over a pale, wide line for test show both.
_LINES = {
    "test": {"linestyle": style.split_line("test"), "linewidth": 3, "alpha": 0.35},
    "train": {"linestyle": style.split_line("train"), "linewidth": 1},
}


@style.applied
def train_test(alpha_train, alpha_test, means_train=None, means_test=None):
    """Draw both splits' curves over the layers, and α of every token and layer, train against test.

    Parameters
    ----------
    alpha_train, alpha_test : pandas.DataFrame
        The α tables of the two splits: columns layer, token, name, kind, alpha. The scatter has the tokens and
        layers that have an α in both; the one with the largest difference is ringed and named.
    means_train, means_test : pandas.DataFrame, optional
        `alpha_means.csv` of the two, for the interval of the mean of the tokens' α.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = style.new_figure(style.DOUBLE_COLUMN, 3.55)
    left, right = figure.subplots(1, 2, width_ratios=[1.12, 1])
    intervals = _draw_curves(
        figure, left, {"test": alpha_test, "train": alpha_train}, {"test": means_test, "train": means_train}
    )
    pairs = token_pairs(alpha_train, alpha_test)
    _draw_scatter(figure, right, pairs)
    tokens = pd.concat([alpha_train, alpha_test])
    tokens = tokens[tokens["kind"].isin(TOKENS)].drop_duplicates(["layer", "token"])
    unpaired = len(tokens) - len(pairs)
    style.note(
        figure,
        [INTERVAL] * bool(intervals)
        + [f"not in the scatter: {unpaired} of {len(tokens)}, without α in one split or both"] * (unpaired > 0),
    )
    return figure


def _draw_curves(figure, axes, splits, means):
    drawn, intervals = [], []
    entries = []
    for name, (label, colour) in KINDS.items():
        found = False
        for split, alpha in splits.items():
            values = curve(alpha, name)
            if len(values):
                axes.plot(values.index, values, color=colour, **_LINES[split])
                drawn += [*values]
                intervals += draw_interval(axes, alpha, name, colour, means[split])
                found = True
        if found:
            entries.append(Line2D([], [], color=colour, label=label))
    entries += [Line2D([], [], color=style.ANNOTATION, label=split, **_LINES[split]) for split in splits]
    limits = style.alpha_limits([*drawn, *intervals])
    axes.set_yscale("log")
    axes.set_ylim(limits)
    style.alpha_axis(axes.yaxis, *limits)
    style.layer_axis(axes, [layer for alpha in splits.values() for layer in alpha["layer"]])
    axes.set_ylabel("Power-law exponent α")
    figure.legend(handles=entries, loc="outside upper center", ncols=3)
    return intervals


def _draw_scatter(figure, axes, pairs):
    limits = style.alpha_limits([*pairs["alpha_train"], *pairs["alpha_test"]])
    axes.plot(limits, limits, color="0.6", linewidth=0.7, zorder=1)
    if len(pairs):
        points = axes.scatter(
            pairs["alpha_train"],
            pairs["alpha_test"],
            c=pairs["layer"],
            cmap=style.LAYER_MAP,
            s=4,
            linewidths=0,
            rasterized=True,
        )
        bar = figure.colorbar(points, ax=axes, aspect=30, pad=0.02)
        bar.set_label("Layer")
        bar.outline.set_linewidth(0.5)
        bar.locator = MaxNLocator(8, integer=True)
        bar.update_ticks()
        largest = pairs.loc[pairs["difference"].abs().idxmax()]
        axes.plot(
            largest["alpha_train"],
            largest["alpha_test"],
            marker="o",
            markersize=7,
            markerfacecolor="none",
            color=style.FIT,
        )
        text = (
            f"largest |Δα| = {abs(largest['difference']):.3f}\n"
            f"(layer {largest['layer']}, token {largest['name']})\n"
            f"mean |Δα| = {pairs['difference'].abs().mean():.3f}"
        )
    else:
        text = "no token has an α in both splits"
    axes.text(0.04, 0.97, text, transform=axes.transAxes, va="top", fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    for axis, split in ((axes.xaxis, "train"), (axes.yaxis, "test")):
        style.alpha_axis(axis, *limits)
        axis.set_label_text(f"α of a token in a layer, {split} split")
