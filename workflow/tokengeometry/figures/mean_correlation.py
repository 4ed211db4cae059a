"""Mean correlation between tokens over the layers, for one branch or for several."""

import math

from tokengeometry.figures import style
from tokengeometry.figures.undefined import layers_in_words, of_branches

# column of the table → title of its panel
PAIRS = {"mean": "All pairs of tokens", "mean_spatial": "Spatial pairs", "mean_cls_spatial": "CLS–spatial pairs"}


@style.applied
def mean_correlation(tables, branches=None):
    """Draw the mean over pairs of tokens of their correlation: a panel a kind of pair, a line a branch.

    A kind of pair that no branch has, as in models without a CLS token, has no panel.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        The correlation table (columns layer, those of `PAIRS`, undefined_tokens) of each branch, by its label, such as
        `CIFAR-10 train`.
    branches : sequence of str, optional
        All labels of the study in their order, which decides the colours (`style.branch_style`); by default those of
        `tables`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    branches = list(tables) if branches is None else branches
    drawn = [
        pairs for pairs in PAIRS if pairs == "mean" or any(table[pairs].notna().any() for table in tables.values())
    ]
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.2 + 0.14 * math.ceil(len(tables) / 4))
    all_axes = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    layers = {layer for table in tables.values() for layer in table["layer"]}
    for axes, pairs in zip(all_axes, drawn, strict=True):
        for label, table in tables.items():
            defined = table[table[pairs].notna()].sort_values("layer")
            axes.plot(defined["layer"], defined[pairs], label=label, **style.branch_style(label, branches))
        style.layer_axis(axes, layers)
        axes.margins(y=0.08)
        axes.set_title(PAIRS[pairs], loc="left")
    all_axes[0].set_ylabel("Mean token correlation")
    lines = all_axes[0].get_lines()
    figure.legend(lines, list(tables), loc="outside upper center", ncols=min(len(tables), 4))
    style.note(figure, of_branches({label: _undefined_tokens(table) for label, table in tables.items()}))
    return figure


def _undefined_tokens(table):
    missing = table[table["undefined_tokens"] > 0]
    return [
        f"{layers_in_words(list(rows['layer']))}: {int(count)} constant token{'s' * (count > 1)} left out"
        for count, rows in missing.groupby("undefined_tokens")
    ]
