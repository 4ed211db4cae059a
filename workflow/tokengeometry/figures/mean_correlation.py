"""Mean correlation between tokens over the layers, for one branch or for several."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from tokengeometry.figures import style
from tokengeometry.figures.undefined import layers_in_words, of_branches


@style.applied
def mean_correlation(tables: dict[str, pd.DataFrame], branches: Sequence[str] | None = None) -> Figure:
    """Draw the mean over all pairs of tokens of their correlation, one line for each branch.

    Parameters
    ----------
    tables
        The correlation table (columns layer, mean, undefined_tokens) of each branch, by its label, such as
        ``CIFAR-10 train``.
    branches
        All labels of the study in their order, which decides the colours (``style.branch_style``); the labels
        of ``tables`` by default.
    """
    branches = list(tables) if branches is None else branches
    figure = style.new_figure(style.SINGLE_COLUMN, 2.2 + 0.14 * ((len(tables) + 1) // 2))
    axes = figure.subplots()
    layers: set[int] = set()
    for label, table in tables.items():
        table = table.sort_values("layer")
        layers |= set(table["layer"])
        defined = table[table["mean"].notna()]
        axes.plot(defined["layer"], defined["mean"], label=label, **style.branch_style(label, branches))
    style.layer_axis(axes, layers)
    axes.margins(y=0.08)
    axes.set_ylabel("Mean token correlation")
    figure.legend(loc="outside upper center", ncols=2 if len(tables) > 1 else 1)
    style.note(figure, of_branches({label: _undefined_tokens(table) for label, table in tables.items()}))
    return figure


def _undefined_tokens(table: pd.DataFrame) -> list[str]:
    missing = table[table["undefined_tokens"] > 0]
    return [
        f"{layers_in_words(list(rows['layer']))}: {int(count)} constant tokens left out"
        for count, rows in missing.groupby("undefined_tokens")
    ]
