"""The token correlation matrices of all layers, in one colour scale."""

import math

import matplotlib
import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator

from tokengeometry.figures import style
from tokengeometry.figures.undefined import layers_in_words

# A prefix token is as wide as this share of the spatial tokens, all of them at most as wide as the second.
_PREFIX, _ALL_PREFIX = 0.08, 0.2


@style.applied
def correlation_matrices(matrices, prefix_tokens, grid, limit=None):
    """Draw the T×T matrix of every layer as a panel; all panels share one colour scale about 0.

    Prefix tokens are drawn wider than they are, to be seen beside hundreds of spatial tokens.

    Parameters
    ----------
    matrices : dict of int to array, (token, token)
        Correlation at each layer, NaN where undefined (hatched). Layer 0 has no prefix tokens.
    prefix_tokens : sequence of str
        Names of the tokens before the spatial ones, as in `model.json`.
    grid : (int, int)
        Rows and columns of spatial tokens.
    limit : float, optional
        The colour scale goes from −limit to limit, to hold it over several figures. By default the 99.5th percentile
        of |r| off the diagonals over all layers, rounded up to a tenth.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = sorted(matrices)
    spatial = grid[0] * grid[1]
    width = _prefix_width(len(prefix_tokens), spatial)
    start = len(prefix_tokens) * width
    limit = limit or _limit(matrices)
    colours = matplotlib.colormaps[style.CORRELATION_MAP].with_extremes(bad=(0, 0, 0, 0))
    figure, all_axes = style.panels(len(layers), aspect=1.0)
    columns = style.panel_columns(len(layers))
    image = None
    for place, (axes, layer) in enumerate(zip(all_axes, layers, strict=True)):
        prefix = len(matrices[layer]) - spatial
        tokens = np.repeat(np.arange(prefix + spatial), [width] * prefix + [1] * spatial)
        first = start - prefix * width - 0.5
        last = start + spatial - 0.5
        if np.isnan(matrices[layer]).any():
            style.hatch_undefined(axes, (first, first), (last - first, last - first))
        image = axes.imshow(
            matrices[layer][np.ix_(tokens, tokens)],
            cmap=colours,
            vmin=-limit,
            vmax=limit,
            extent=(first, last, last, first),
            # Averaging in the data, not in the colours, when there are more tokens than dots.
            interpolation_stage="data",
        )
        if prefix:
            axes.axhline(start - 0.5, color="white", linewidth=0.6)
            axes.axvline(start - 0.5, color="white", linewidth=0.6)
        axes.set_xlim(-0.5, last)
        axes.set_ylim(last, -0.5)
        axes.set_title(f"layer {layer}", fontsize=7)
        axes.spines[:].set_visible(False)
        _token_axis(axes.xaxis, prefix_tokens, grid, width, labelled=place + columns >= len(layers))
        _token_axis(axes.yaxis, prefix_tokens, grid, width, labelled=place % columns == 0)
        axes.tick_params(axis="x", labelrotation=90)
    bar = figure.colorbar(image, ax=all_axes, extend=_extend(matrices, limit), shrink=0.8, aspect=30, pad=0.015)
    style.label_bar(figure, bar, "Pearson correlation between tokens")
    wider = f"{', '.join(prefix_tokens)}: drawn wider than one token" if prefix_tokens else ""
    order = "tokens in order, row by row of the image; the numbers are its rows"
    style.note(figure, [order, wider, *_undefined(matrices)])
    return figure


def _prefix_width(prefix, spatial):
    return max(1, round(spatial * min(_PREFIX, _ALL_PREFIX / max(prefix, 1))))


def _token_axis(axis, prefix_tokens, grid, width, labelled):
    """Name the class token, the other prefix tokens together, and some rows of the image, each at its middle."""
    rows, columns = grid
    start = len(prefix_tokens) * width - 0.5
    ticks = {start + (row + 0.5) * columns: str(row) for row in range(0, rows, math.ceil(rows / 4))}
    names = {"CLS": [], "other": []}
    for place, name in enumerate(prefix_tokens):
        names["CLS" if name == "cls" else "other"].append((place + 0.5) * width - 0.5)
    others = {name for name in prefix_tokens if name != "cls"}
    for name, places in names.items():
        if places:
            ticks[float(np.mean(places))] = _other_name(others) if name == "other" else name
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FixedFormatter(list(ticks.values())))
    axis.set_tick_params(labelsize=6, length=1.5, pad=1.5, width=0.4, labelbottom=labelled, labelleft=labelled)


def _other_name(names):
    return next(iter(names)) if len(names) == 1 else "reg" if all(n.startswith("reg") for n in names) else "other"


def _off_diagonal(matrices):
    """All defined correlations between two different tokens, each once: (pair,)."""
    values = np.concatenate([matrix[np.tril_indices(len(matrix), -1)] for matrix in matrices.values()])
    return values[np.isfinite(values)]


def _limit(matrices):
    values = np.abs(_off_diagonal(matrices))
    if not values.size:
        return 1.0
    return min(max(math.ceil(10 * np.quantile(values, 0.995)) / 10, 0.1), 1.0)


def _extend(matrices, limit):
    values = _off_diagonal(matrices)
    below, above = (values < -limit).any(), (values > limit).any() or limit < 1
    return style.bar_ends(below, above)


def _undefined(matrices):
    layers_of = {}
    for layer, matrix in sorted(matrices.items()):
        count = int(np.isnan(matrix).all(axis=1).sum())
        if count:
            layers_of.setdefault(count, []).append(layer)
    return [
        f"hatched, {layers_in_words(layers)}: undefined for {count} token{'s' * (count > 1)} (constant over all images)"
        for count, layers in layers_of.items()
    ]
