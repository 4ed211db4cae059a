"""UMAP's plane of the spatial tokens. What is chosen there is chosen on the grid, and the other way round."""

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from tokengeometry.explorer import colours
from tokengeometry.explorer.grid import new_figure


def plane(payload, tokens):
    """The tokens where UMAP puts their α trajectories, coloured by cluster.

    Parameters
    ----------
    payload : tokengeometry.explorer.payload.Payload
    tokens : bokeh.models.ColumnDataSource
        Of the token grid. The plane has a source of its own, so that another layer does not draw it anew; the
        selection is one.

    Returns
    -------
    dict of str to Bokeh model
        `plane`, `plane_tokens`.
    """
    about, arrays = payload.about, payload.arrays
    count = len(tokens.data["name"])
    nowhere = np.full(len(about["together"]), np.nan, np.float32)
    cluster = arrays.get("value_cluster", np.full((1, count), np.nan))[0]
    hues = colours.palettes(about["clusters"])
    source = ColumnDataSource(
        {
            "x": np.concatenate([arrays["umap_1"], nowhere]),
            "y": np.concatenate([arrays["umap_2"], nowhere]),
            "name": tokens.data["name"],
            "cluster": [hues["clusters"][int(its) - 1] if its == its else hues["undefined"] for its in cluster],
        },
        selected=tokens.selected,
    )
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
        "x",
        "y",
        source=source,
        size=7,
        fill_color="cluster",
        line_color="white",
        line_width=0.5,
        selection_line_color=colours.INK,
        selection_line_width=1.5,
        nonselection_fill_alpha=0.35,
        nonselection_line_alpha=0.25,
    )
    found.add_tools(HoverTool(renderers=[points], tooltips=[("token", "@name")]))
    return {"plane": found, "plane_tokens": source}
