"""How alike the tokens of a layer are, in four ways, over the layers."""

from tokengeometry.figures import style
from tokengeometry.figures.mean_correlation import PAIRS
from tokengeometry.geometry.uncertainty.fits import INTERVAL

# prefix of the columns → label, colour, marker
MEASURES = {
    "": ("correlation (the paper's)", style.POOLED, "o"),
    "centred_": ("correlation, every feature centred over the images", style.AVERAGED, "s"),
    "cka_": ("debiased linear CKA", style.CONCATENATED, "^"),
    "cosine_": ("cosine within an image", style.CLS, "v"),
}


@style.applied
def token_similarity(table):
    """Draw the mean over pairs of tokens of each measure, with its 95 % interval: a panel a kind of pair.

    Parameters
    ----------
    table : pandas.DataFrame
        `correlation.csv`: columns layer, and for each measure and kind of pair the mean and its standard error.

    Returns
    -------
    matplotlib.figure.Figure
    """
    drawn = [pairs for pairs in PAIRS if pairs == "mean" or table[pairs].notna().any()]
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.7)
    all_axes = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    entries = {}
    for axes, pairs in zip(all_axes, drawn, strict=True):
        for prefix, (label, colour, marker) in MEASURES.items():
            column = f"{prefix}{pairs}"
            rows = table[table[column].notna()].sort_values("layer")
            if rows.empty:
                continue
            (entries[label],) = axes.plot(rows["layer"], rows[column], color=colour, marker=marker)
            half = INTERVAL * rows[f"{column}_se"]
            axes.fill_between(
                rows["layer"], rows[column] - half, rows[column] + half, color=colour, alpha=0.3, linewidth=0
            )
        style.layer_axis(axes, table["layer"])
        axes.margins(y=0.08)
        axes.set_title(PAIRS[pairs], loc="left")
    all_axes[0].set_ylabel("Mean over pairs of tokens")
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=2)
    known = table[[f"{prefix}mean_se" for prefix in MEASURES]].notna().any().any()
    style.note(figure, ["bands: 95 % intervals"] if known else ["no intervals: uncertainty.folds is 0"])
    return figure
