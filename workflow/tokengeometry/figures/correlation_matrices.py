"""The token correlation matrices of all layers, in one colour scale."""

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tokengeometry.figures import style
from tokengeometry.figures.undefined import layers_in_words

_ORDER = "rows and columns: tokens, those of the image row by row, after the prefix tokens where there are any"


@style.applied
def correlation_matrices(matrices: dict[int, np.ndarray], limits: tuple[float, float] | None = None) -> Figure:
    """Draw the T×T matrix of every layer as a panel; all panels share one colour scale.

    Parameters
    ----------
    matrices
        Correlation (token, token) of each layer, NaN where undefined (drawn grey).
    limits
        Ends of the colour scale, to hold it over several figures. By default from the 0.5th percentile over
        all layers, rounded down to a tenth, up to 1.
    """
    layers = sorted(matrices)
    low, high = limits or (_lower_limit(matrices), 1.0)
    colours = matplotlib.colormaps[style.CORRELATION_MAP].with_extremes(bad=style.UNDEFINED)
    figure, all_axes = style.panels(len(layers), aspect=1.0)
    image = None
    for axes, layer in zip(all_axes, layers, strict=True):
        # Averaging in the data, not in the colours, when there are more tokens than dots.
        image = axes.imshow(matrices[layer], cmap=colours, vmin=low, vmax=high, interpolation_stage="data")
        axes.set_title(f"layer {layer}", fontsize=7)
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        axes.set_yticks([])
    below = any(np.nanmin(matrix, initial=high) < low for matrix in matrices.values())
    bar = figure.colorbar(image, ax=all_axes, extend="min" if below else "neither", shrink=0.8, aspect=30, pad=0.015)
    bar.set_label("Correlation between tokens")
    bar.outline.set_linewidth(0.5)
    style.note(figure, [_ORDER, *_undefined(matrices)])
    return figure


def _lower_limit(matrices: dict[int, np.ndarray]) -> float:
    values = np.concatenate([np.ravel(matrix[np.isfinite(matrix)]) for matrix in matrices.values()])
    if not values.size:
        return 0.0
    return min(max(math.floor(10 * np.quantile(values, 0.005)) / 10, -1.0), 0.9)


def _undefined(matrices: dict[int, np.ndarray]) -> list[str]:
    layers_of: dict[int, list[int]] = {}
    for layer, matrix in sorted(matrices.items()):
        count = int(np.isnan(matrix).all(axis=1).sum())
        if count:
            layers_of.setdefault(count, []).append(layer)
    return [
        f"grey, {layers_in_words(layers)}: undefined for {count} tokens (constant over all images)"
        for count, layers in layers_of.items()
    ]
