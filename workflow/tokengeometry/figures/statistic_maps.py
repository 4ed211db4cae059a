"""A statistic of every spatial token at its place in the image, a panel for each layer."""

from types import ModuleType
from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from tokengeometry.figures import style
from tokengeometry.figures.undefined import undefined_values
from tokengeometry.tables import value_of


@style.applied
def statistic_maps(
    table: pd.DataFrame,
    grid: tuple[int, int],
    statistic: ModuleType,
    scale: Literal["shared", "layer"] = "shared",
) -> Figure:
    """Draw it on the token grid for every layer, in logarithmic colour scales.

    Parameters
    ----------
    table
        The statistic's table: columns layer, kind, row, column (from 0), the value, reason. Spatial rows are drawn,
        those with an empty value in grey.
    grid
        (rows, columns) of tokens.
    statistic
        A module of `tokengeometry.geometry.statistics`.
    scale
        ``shared``: one scale for all layers, which compares layers. ``layer``: a scale for each layer, which
        shows where in the image it is high in layers that hardly vary. A scale runs from the 1st to the 99th
        percentile of its values, so that a few extreme tokens do not take it. The title of a panel gives its
        own 1st and 99th percentile either way.
    """
    value = value_of(table)
    spatial = table[table["kind"] == "spatial"]
    layers = sorted(spatial["layer"].unique())
    colours = matplotlib.colormaps[style.ALPHA_MAP].with_extremes(bad=style.UNDEFINED)
    shared = LogNorm(*_limits(spatial[value]))
    figure, all_axes = style.panels(len(layers), aspect=grid[0] / grid[1])
    for axes, layer in zip(all_axes, layers, strict=True):
        rows = spatial[spatial["layer"] == layer]
        image = np.full(grid, np.nan)
        image[rows["row"].astype(int), rows["column"].astype(int)] = rows[value]
        limits = _limits(rows[value])
        norm = shared if scale == "shared" else LogNorm(*limits)
        axes.pcolormesh(np.ma.masked_invalid(image), cmap=colours, norm=norm, rasterized=True)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        span = f": {limits[0]:.2f}–{limits[1]:.2f}" if rows[value].notna().any() else ""
        axes.set_title(f"layer {layer}{span}", fontsize=7)

    bar = figure.colorbar(
        ScalarMappable(shared if scale == "shared" else LogNorm(1, 2), colours),
        ax=all_axes,
        extend=_extend(spatial[value], shared) if scale == "shared" else "both",
        shrink=0.85,
        aspect=30,
        pad=0.015,
    )
    bar.outline.set_linewidth(0.5)
    if scale == "shared":
        style.alpha_axis(bar.ax.yaxis, shared.vmin, shared.vmax)
        bar.set_label(statistic.LABEL)
    else:
        bar.ax.minorticks_off()
        bar.set_ticks([1, 2], labels=["1st pct.", "99th pct."])
        bar.set_label(f"{statistic.NAME} within its layer (log scale)")
    style.note(
        figure,
        [
            f"above each layer: 1st–99th percentile of its {statistic.NAME}",
            *[f"grey, {words}" for words in undefined_values(table, ("spatial",), statistic.NAME)],
        ],
    )
    return figure


def _limits(values: pd.Series) -> tuple[float, float]:
    values = values[values > 0]
    if values.empty:
        return 1.0, 3.0
    low, high = values.quantile(0.01), values.quantile(0.99)
    return (low, high) if high > low else (low / 1.01, high * 1.01)


def _extend(values: pd.Series, norm: LogNorm) -> str:
    below, above = (values < norm.vmin).any(), (values > norm.vmax).any()
    return {(False, False): "neither", (True, False): "min", (False, True): "max"}.get((below, above), "both")
