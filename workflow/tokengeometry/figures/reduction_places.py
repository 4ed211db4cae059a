"""Which places are merged with which, block by block, on the token grid."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm
from matplotlib.lines import Line2D

from tokengeometry.figures import style

MOST_BLOCKS = 6


@style.applied
def reduction_places(places, sizes, grid, budget):
    """Draw the groups of the first image, and how many places are held together on average.

    Parameters
    ----------
    places : dict of str to array of int64, (block, place)
        By policy: which token holds each place after each block, in the first image; −1 where it is gone.
    sizes : dict of str to array, (block, place)
        By policy: the mean over the images of how many places are held together with each; 0 where it is gone.
    grid : (int, int)
        Rows and columns.
    budget : float
        A share of the whole model's operations.

    Returns
    -------
    matplotlib.figure.Figure
    """
    depth = len(next(iter(places.values())))
    blocks = np.unique(np.linspace(0, depth - 1, min(depth, MOST_BLOCKS)).round().astype(int))
    rows, aspect = len(places), grid[0] / grid[1]
    width = style.DOUBLE_COLUMN
    side = (width - 1.4) / len(blocks)
    figure = style.new_figure(width, rows * (side * aspect + 0.08) + 0.3)
    panels = figure.subplots(rows, len(blocks), squeeze=False)
    most = max(2, int(np.ceil(max(its.max() for its in sizes.values()))))
    ends = [1, *(2.0**power for power in np.arange(0.5, np.log2(most) + 0.5, 0.5))]
    norm, colours = BoundaryNorm(ends, len(ends) - 1), colormaps[style.LAYER_MAP].resampled(len(ends) - 1)
    for axes, block in zip(panels[0], blocks, strict=True):
        axes.set_title(f"block {block + 1}")
    for line, (policy, held) in zip(panels, places.items(), strict=True):
        for axes, block in zip(line, blocks, strict=True):
            size = np.where(sizes[policy][block] > 0, sizes[policy][block], np.nan).reshape(grid)
            style.hatch_undefined(axes, (-0.5, -0.5), grid[::-1])
            image = axes.imshow(np.ma.masked_invalid(size), cmap=colours, norm=norm)
            _outline(axes, held[block].reshape(grid))
            axes.set(xticks=[], yticks=[])
            axes.spines[["top", "right"]].set_visible(True)
        line[0].set_ylabel(policy)
    bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=30, format="%.3g", ticks=ends[::2])
    style.label_bar(figure, bar, "Places in a token, mean over images")
    style.note(
        figure,
        [
            f"at {budget:.0%} of the operations. lines: between places of different tokens in the first image; a place "
            "without lines around it is held together with its neighbours. hatched: gone in every image."
        ],
    )
    return figure


def _outline(axes, held):
    """Lines between neighbours that different tokens hold."""
    for row, column in zip(*np.nonzero(held[:, 1:] != held[:, :-1]), strict=True):
        axes.add_line(Line2D([column + 0.5] * 2, [row - 0.5, row + 0.5], linewidth=0.4, color="white"))
    for row, column in zip(*np.nonzero(held[1:] != held[:-1]), strict=True):
        axes.add_line(Line2D([column - 0.5, column + 0.5], [row + 0.5] * 2, linewidth=0.4, color="white"))
