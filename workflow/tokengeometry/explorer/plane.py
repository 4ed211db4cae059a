"""UMAP's plane of the spatial tokens, of the same source as the grid: what is chosen in one is in the other."""

from bokeh.models import HoverTool

from tokengeometry.explorer import colours
from tokengeometry.explorer.grid import new_figure


def plane(tokens):
    """The tokens where UMAP puts their α trajectories, coloured by cluster.

    Parameters
    ----------
    tokens : bokeh.models.ColumnDataSource
        Of the token grid.

    Returns
    -------
    dict of str to Bokeh model
        `plane`.
    """
    found = new_figure(
        "umap",
        "lasso_select,box_select,tap,wheel_zoom,pan,reset,save",
        "lasso_select",
        "The tokens in UMAP's plane, where those with similar trajectories of α are neighbours; coloured by cluster.",
    )
    found.title.text = "UMAP of the α trajectories, coloured by cluster"
    found.xaxis.axis_label = "UMAP 1"
    found.yaxis.axis_label = "UMAP 2"
    points = found.scatter(
        "umap_x",
        "umap_y",
        source=tokens,
        size=7,
        fill_color="cluster",
        line_color="white",
        line_width=0.5,
        selection_line_color=colours.INK,
        selection_line_width=1.5,
        nonselection_fill_alpha=0.35,
        nonselection_line_alpha=0.25,
    )
    found.add_tools(HoverTool(renderers=[points], tooltips=[("token", "@name"), ("value", "@said")]))
    return {"plane": found}
