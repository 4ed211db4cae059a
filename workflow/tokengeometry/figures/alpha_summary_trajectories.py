"""α over the layers of CLS, the mean of all tokens, and all tokens together: branches beside each other."""

from tokengeometry.figures import style
from tokengeometry.figures.curves import INTERVAL, KINDS, curve, draw_interval
from tokengeometry.figures.undefined import of_branches, undefined_values
from tokengeometry.tables import TOGETHER, TOKENS

_MARKERS = {"cls": "s", "mean": "o", "averaged": "D", "pooled": "^", "concatenated": "v"}


@style.applied
def alpha_summary_trajectories(tables, means=None):
    """Draw a panel for each branch, all on the same α axis.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        The α table (columns layer, token, name, kind, alpha, reason) of each branch, by its label, such as
        `STL-10 train` and `STL-10 test`.
    means : dict of str to pandas.DataFrame, optional
        `alpha_means.csv` of each, for the interval of the mean of the tokens' α.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = min(len(tables), 2)
    rows = -(-len(tables) // columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    figure = style.new_figure(width, 2.3 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for unused in grid.flat[len(tables) :]:
        unused.remove()
    drawn, intervals = [], []
    entries = {}
    for axes, (title, alpha) in zip(grid.flat, tables.items(), strict=False):
        for name, (label, colour) in KINDS.items():
            values = curve(alpha, name)
            if len(values):
                (entries[label],) = axes.plot(values.index, values, color=colour, marker=_MARKERS[name])
                drawn += [*values]
                its = (means or {}).get(title)
                intervals += draw_interval(axes, alpha, name, colour, its)
        axes.set_title(title, loc="left")
        style.layer_axis(axes, alpha["layer"])
    limits = style.alpha_limits([*drawn, *intervals])
    for axes in grid.flat[: len(tables)]:
        axes.set_yscale("log")
        axes.set_ylim(limits)
        style.alpha_axis(axes.yaxis, *limits)
    for axes in grid[:, 0]:
        axes.set_ylabel("Power-law exponent α")
    if entries:
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside upper center",
            ncols=3 if columns == 2 else 2,
        )
    kinds = (*TOKENS, *TOGETHER)
    style.note(
        figure,
        [INTERVAL] * bool(intervals)
        + of_branches({label: undefined_values(alpha, kinds) for label, alpha in tables.items()}),
    )
    return figure
