"""Chosen tokens over the layers."""

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, LegendItem, Span

from tokengeometry.explorer import colours
from tokengeometry.explorer.grid import new_figure, small_legend


def trajectory(layers):
    """The chosen tokens' quantity over the layers, over the band of their cluster, beside CLS and pooled.

    Parameters
    ----------
    layers : list of int

    Returns
    -------
    dict of str to Bokeh model
        `trajectory`, its `bands`, `curves`, `points`, and `here`, the line at the layer.
    """
    found = new_figure(
        "trajectory",
        "pan,wheel_zoom,reset,save",
        None,
        "The chosen tokens' quantity over the layers, over the band of their cluster, beside CLS and pooled.",
    )
    found.xaxis.axis_label = "Layer (0: image patches)" if layers[0] == 0 else "Layer"
    found.xaxis.ticker = FixedTicker(ticks=layers if len(layers) <= 16 else layers[::2])
    bands = ColumnDataSource({"xs": [], "ys": [], "colour": [], "words": []})
    band = found.patches("xs", "ys", source=bands, fill_color="colour", fill_alpha=0.25, line_color=None)
    # Over the rest, which is not drawn anew when another layer is chosen.
    here = Span(
        location=layers[0],
        dimension="height",
        line_color=colours.PALE,
        line_dash="dotted",
        line_width=2,
        level="overlay",
    )
    found.add_layout(here)
    curves = ColumnDataSource({"xs": [], "ys": [], "colour": [], "dash": [], "width": [], "words": []})
    line = found.multi_line("xs", "ys", source=curves, line_color="colour", line_dash="dash", line_width="width")
    points = ColumnDataSource({name: [] for name in ("x", "y", "low", "high", "colour", "words")})
    dots = found.scatter("x", "y", source=points, size=6, color="colour")
    interval = found.segment("x", "low", "x", "high", source=points, line_color="colour", line_width=1.5)
    ends = [found.scatter("x", end, source=points, marker="dash", size=9, color="colour") for end in ("low", "high")]
    found.add_tools(
        HoverTool(renderers=[dots], tooltips=[("", "@words"), ("layer", "@x"), ("value", "@y{0.0000}")]),
        HoverTool(renderers=[line, band], tooltips="@words"),
    )
    found.y_range.renderers = [line, band, interval, *ends]
    legend = Legend(items=[LegendItem(label={"field": "words"}, renderers=[its]) for its in (line, band)], ncols=2)
    found.add_layout(legend, "below")
    small_legend(legend, spacing=6)
    return {"trajectory": found, "bands": bands, "curves": curves, "points": points, "here": here}
