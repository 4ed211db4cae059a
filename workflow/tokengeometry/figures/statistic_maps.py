"""A statistic of every spatial token at its place in the image, a panel for each layer."""

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from tokengeometry.figures import style
from tokengeometry.figures.undefined import layers_in_words, undefined_values
from tokengeometry.tables import value_of


@style.applied
def statistic_maps(table, grid, statistic, scale="shared"):
    """Draw it on the token grid for every layer, in logarithmic colour scales.

    Parameters
    ----------
    table : pandas.DataFrame
        The statistic's: columns layer, kind, row, column (from 0), the value, reason. Spatial rows are drawn, those
        with an empty value hatched.
    grid : (int, int)
        Rows and columns of tokens.
    statistic : module
        Of `tokengeometry.geometry.statistics`.
    scale : {"shared", "layer"}
        "shared": one scale for all layers, which compares them, but for layer 0: pixels have other values than what
        a model makes of them, and have a scale and colours of their own. "layer": a scale for each layer, which
        shows where in the image it is high in layers that hardly vary. A scale runs from the 1st to the 99th
        percentile of its values, so that a few extreme tokens do not take it. The title of a panel gives its
        own 1st and 99th percentile either way.

    Returns
    -------
    matplotlib.figure.Figure
    """
    value = value_of(table)
    spatial = table[table["kind"] == "spatial"]
    layers = sorted(spatial["layer"].unique())
    scales = [[layer] for layer in layers] if scale == "layer" else _apart_from_pixels(layers)
    norms = [LogNorm(*_limits(spatial.loc[spatial["layer"].isin(own), value])) for own in scales]
    bars = 1 if scale == "layer" else len(scales)
    figure, all_axes = style.panels(len(layers), aspect=grid[0] / grid[1], bars=bars)
    for axes, layer in zip(all_axes, layers, strict=True):
        rows = spatial[spatial["layer"] == layer]
        image = np.full(grid, np.nan)
        image[rows["row"].astype(int), rows["column"].astype(int)] = rows[value]
        if np.isnan(image).any():
            style.hatch_undefined(axes, (0, 0), grid[::-1])
        (norm,) = [norm for norm, own in zip(norms, scales, strict=True) if layer in own]
        colours = _colours(layer, bars)
        axes.pcolormesh(np.ma.masked_invalid(image), cmap=colours, norm=norm, rasterized=True)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        low, high = _limits(rows[value])
        span = f": {_plain(low)}–{_plain(high)}" if rows[value].notna().any() else ""
        axes.set_title(f"layer {layer}{span}", fontsize=7)

    style_of_bar = dict(ax=all_axes, shrink=0.85, aspect=30, pad=0.015)
    if scale == "layer":
        bar = figure.colorbar(ScalarMappable(LogNorm(1, 2), _colours(1, 1)), extend="both", **style_of_bar)
        bar.ax.minorticks_off()
        bar.set_ticks([1, 2], labels=["1st pct.", "99th pct."])
        style.label_bar(figure, bar, f"{statistic.NAME} within its layer (log scale)")
    else:
        for norm, own in zip(norms, scales, strict=True):
            its = spatial.loc[spatial["layer"].isin(own), value]
            extend = style.bar_ends((its < norm.vmin).any(), (its > norm.vmax).any())
            bar = figure.colorbar(ScalarMappable(norm, _colours(own[0], bars)), extend=extend, **style_of_bar)
            style.alpha_axis(bar.ax.yaxis, norm.vmin, norm.vmax)
            # With a space that does not break.
            of = ", " + layers_in_words(own).replace(" ", "\N{NO-BREAK SPACE}") if bars > 1 else ""
            style.label_bar(figure, bar, statistic.LABEL + of)
    style.note(
        figure,
        [
            f"above each layer: 1st–99th percentile of its {statistic.NAME}",
            *[f"hatched, {words}" for words in undefined_values(table, ("spatial",), statistic.NAME)],
        ],
    )
    return figure


def _apart_from_pixels(layers):
    return [own for own in ([layer for layer in layers if layer == 0], [layer for layer in layers if layer]) if own]


def _colours(layer, bars):
    return matplotlib.colormaps[style.PIXELS_MAP if layer == 0 and bars > 1 else style.ALPHA_MAP]


def _plain(value):
    # So many digits that a title fits above its panel.
    digits = 3 if value >= 0.1 else 2
    return f"{value:#.{digits}g}".rstrip(".") if value < 1000 else f"{value:.0f}"


def _limits(values):
    values = values[values > 0]
    if values.empty:
        return 1.0, 3.0
    low, high = values.quantile(0.01), values.quantile(0.99)
    return (low, high) if high > low else (low / 1.01, high * 1.01)
