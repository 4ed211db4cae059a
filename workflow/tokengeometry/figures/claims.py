"""The paper's statements, a line each: the number beside what it is compared with, and the verdict in words."""

import textwrap

import numpy as np

from tokengeometry.figures import style

# A verdict's colour and marker; the word stands beside them.
VERDICTS = {
    "holds": (style.HOLDS, "o"),
    "does not hold": (style.FAILS, "X"),
    "can't be told here": (style.UNTOLD, "D"),
}
# Of the model's control.
CONTROL = "s"
CHARACTERS = 58
LINE = 0.135  # inches
# Where columns begin.
NUMBER, REFERENCE, VERDICT = 0.69, 0.77, 0.84


@style.applied
def claims(table):
    """Draw a line for each statement.

    Every line has an axis of its own: it spans the estimate, its interval and the reference, which is a vertical tick.

    Parameters
    ----------
    table : pandas.DataFrame
        As in `claims.csv`: columns claim, statement, estimate, low, high, reference, control, verdict.

    Returns
    -------
    matplotlib.figure.Figure
    """
    words = [textwrap.wrap(statement, CHARACTERS) for statement in table["statement"]]
    heights = [max(len(lines), 1) + 0.7 for lines in words]
    figure = style.new_figure(style.DOUBLE_COLUMN, LINE * (sum(heights) + 1.6) + 0.35)
    axes = figure.subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(sum(heights), -1.6)
    axes.axis("off")
    for row, lines, top, height in zip(table.itertuples(), words, np.cumsum([0, *heights[:-1]]), heights, strict=True):
        middle = top + height / 2
        colour, marker = VERDICTS[row.verdict]
        axes.text(0.0, middle, row.claim, va="center", fontsize=7, weight="bold")
        axes.text(0.045, middle, "\n".join(lines), va="center", fontsize=7, linespacing=1.1)
        axes.text(VERDICT, middle, row.verdict, va="center", fontsize=7, color=colour, weight="bold")
        _mark(axes, row, middle, colour, marker)
        axes.axhline(top, color=style.UNDEFINED, linewidth=0.4)
    for place, word in ((NUMBER, "number"), (REFERENCE, "beside"), (VERDICT, "verdict")):
        axes.text(place, -0.9, word, va="center", fontsize=6.5, color=style.ANNOTATION)
    style.note(
        figure,
        [
            "Each line has an axis of its own. The vertical tick is what the number is compared with: a value, or 95 % "
            "of what the null gives. Bars are 95 % intervals. claims.csv says what each number is, and why.",
            "Open squares: the model's control." if table["control"].notna().any() else "",
        ],
    )
    return figure


def _mark(axes, row, middle, colour, marker, left=0.53, right=0.67):
    """The estimate, its interval and the reference, between two places of the line; the number right of them."""
    if not np.isfinite(row.estimate):
        return
    values = [value for value in (row.estimate, row.low, row.high, row.reference, row.control) if np.isfinite(value)]
    low, high = min(values), max(values)
    scale = (right - left) / (high - low) if high > low else 0.0

    def at(value):
        return left + (value - low) * scale if scale else (left + right) / 2

    axes.plot([left, right], [middle, middle], color=style.UNDEFINED, linewidth=0.6, zorder=1)
    if np.isfinite(row.reference):
        axes.plot([at(row.reference)] * 2, [middle - 0.55, middle + 0.55], color=style.ANNOTATION, linewidth=0.8)
    if np.isfinite(row.low):
        axes.plot([at(row.low), at(row.high)], [middle, middle], color=colour, linewidth=1.8, zorder=2)
    if np.isfinite(row.control):
        look = dict(marker=CONTROL, color=style.ANNOTATION, markersize=4, markerfacecolor="none", linestyle="none")
        axes.plot([at(row.control)], [middle], **look, zorder=4)
    axes.plot([at(row.estimate)], [middle], marker=marker, color=colour, markersize=4.5, linestyle="none", zorder=3)
    axes.text(NUMBER, middle, f"{row.estimate:.3g}", va="center", fontsize=7)
    if np.isfinite(row.reference):
        axes.text(REFERENCE, middle, f"{row.reference:.3g}", va="center", fontsize=7, color=style.ANNOTATION)
