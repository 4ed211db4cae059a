"""The token grid coloured by cluster."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from tokengeometry.figures import style
from tokengeometry.figures.undefined import tokens_without_cluster


@style.applied
def clusters_map(clusters, grid):
    """Draw every spatial token at its place in the image, in the colour of its cluster.

    Parameters
    ----------
    clusters : pandas.DataFrame
        The cluster table: columns row, column (from 0), cluster, reason. Tokens without a cluster, and places
        of the grid that the table does not have, are grey and hatched.
    grid : (int, int)
        Rows and columns of tokens.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows, columns = grid
    colours = np.empty((rows, columns, 3))
    colours[:] = to_rgb(style.UNDEFINED)
    clustered = clusters[clusters["cluster"].notna()]
    numbers = np.zeros((rows, columns), dtype=int)
    numbers[clustered["row"].astype(int), clustered["column"].astype(int)] = clustered["cluster"].astype(int)
    for cluster in np.unique(numbers[numbers > 0]):
        colours[numbers == cluster] = style.cluster_colour(cluster)

    height = np.clip((style.SINGLE_COLUMN - 0.5) * rows / columns, 1.0, 6.0)
    figure = style.new_figure(style.SINGLE_COLUMN, height + 0.65)
    axes = figure.subplots()
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        colours,
        edgecolors="white",
        linewidth=0.4,
    )
    for row, column in np.argwhere(numbers == 0):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **{**style.UNDEFINED_AREA, "facecolor": "none"}))
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    for axis, label in ((axes.xaxis, "Token column"), (axes.yaxis, "Token row")):
        axis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_label_text(label)

    entries = [
        Patch(facecolor=style.cluster_colour(cluster), linewidth=0, label=f"cluster {cluster}")
        for cluster in np.unique(numbers[numbers > 0])
    ]
    if (numbers == 0).any():
        entries.append(Patch(**style.UNDEFINED_AREA, label="no cluster"))
    figure.legend(
        handles=entries,
        loc="outside upper center",
        ncols=min(len(entries), 4),
        handlelength=1,
        handleheight=1,
        handletextpad=0.4,
        columnspacing=1,
    )
    style.note(figure, [tokens_without_cluster(clusters)])
    return figure
