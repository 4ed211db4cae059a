"""α beside what it does not see: numbers of dimensions that the first ranks decide, over the layers."""

from tokengeometry.figures import style
from tokengeometry.figures.curves import KINDS
from tokengeometry.geometry.uncertainty.bands import LEADING

# measure → its axis
LABELS = {
    "alpha": "Power-law exponent α",
    "participation_ratio": "Participation ratio (directions)",
    "leading_share": f"Share of variance, ranks 1–{LEADING}",
}
# group → label, colour, marker
_GROUPS = {
    "spatial": ("mean of the spatial tokens", style.TOKEN_MEAN, "o"),
    "cls": (KINDS["cls"][0], style.CLS, "s"),
}


@style.applied
def dimension_trajectories(table):
    """Draw a panel a measure, and in it a curve with its 95 % interval for the spatial tokens and for CLS.

    Parameters
    ----------
    table : pandas.DataFrame
        `dimensions.csv`: columns layer, group, measure, value, low, high.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    panels = figure.subplots(1, len(LABELS))
    entries = {}
    for axes, (measure, label) in zip(panels, LABELS.items(), strict=True):
        for group, (name, colour, marker) in _GROUPS.items():
            rows = table[(table["measure"] == measure) & (table["group"] == group) & table["value"].notna()]
            if rows.empty:
                continue
            rows = rows.sort_values("layer")
            (entries[name],) = axes.plot(rows["layer"], rows["value"], color=colour, marker=marker)
            axes.fill_between(rows["layer"], rows["low"], rows["high"], color=colour, alpha=0.3, linewidth=0)
        style.layer_axis(axes, table["layer"])
        axes.set_ylabel(label)
        axes.margins(y=0.08)
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries))
    known = table["low"].notna().any()
    words = "α without its bias in N; bands: 95 % intervals" if known else "no intervals: uncertainty.folds is 0"
    style.note(figure, [words])
    return figure
