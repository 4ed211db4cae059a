"""The spectra of chosen tokens, with power laws over a range of ranks that can be dragged."""

from bokeh.models import BoxAnnotation, Button, ColumnDataSource, HoverTool, RangeSlider

from tokengeometry.explorer import colours
from tokengeometry.explorer.grid import new_figure, small_legend
from tokengeometry.figures import style


def spectrum(payload):
    """Eigenvalues of the chosen tokens by rank, log-log.

    Parameters
    ----------
    payload : tokengeometry.explorer.payload.Payload

    Returns
    -------
    dict of str to Bokeh model
        `spectrum`, its `spectra`, `laws`, `unresolved`, `floor`, `range_box`; `range_slider`, `reset_range`.
    """
    first, last = payload.about["fit"]["ranks"]
    found = new_figure(
        "spectrum",
        "pan,wheel_zoom,reset,save",
        None,
        "The eigenspectrum of the chosen tokens, with the power law that is fitted over the marked range of ranks.",
        x_axis_type="log",
        y_axis_type="log",
    )
    found.xaxis.axis_label = "Rank"
    found.yaxis.axis_label = "Eigenvalue λ"
    box = BoxAnnotation(
        left=first,
        right=last,
        editable=True,
        movable="x",
        resizable="x",
        fill_color=style.FIT,
        fill_alpha=0.08,
        line_color=style.FIT,
        line_alpha=0.8,
        line_width=1.5,
        hover_fill_alpha=0.14,
        hover_fill_color=style.FIT,
    )
    box.handles.all.fill_color = style.FIT
    found.add_layout(box)
    sources = {
        "spectra": {"xs": [], "ys": [], "colour": [], "words": []},
        "laws": {"xs": [], "ys": [], "colour": []},
        "unresolved": {"x": [], "y": []},
        "floor": {"x": [], "y": []},
    }
    sources = {name: ColumnDataSource(columns) for name, columns in sources.items()}
    floor = found.line(
        "x",
        "y",
        source=sources["floor"],
        line_color=colours.PALE,
        line_dash="dashed",
        legend_label="rounding floor",
    )
    faint = found.scatter(
        "x", "y", source=sources["unresolved"], size=3, color=style.UNRESOLVED, legend_label="not resolved"
    )
    lines = found.multi_line("xs", "ys", source=sources["spectra"], line_color="colour", line_width=2.2)
    laws = found.multi_line(
        "xs", "ys", source=sources["laws"], line_color=colours.INK, line_width=1.6, legend_label="power law"
    )
    found.add_tools(HoverTool(renderers=[lines], tooltips=[("", "@words"), ("rank", "$x{0}"), ("λ", "$y{0.000e+0}")]))
    found.y_range.renderers = [floor, faint, lines, laws]
    legend = found.legend[0]
    small_legend(legend, spacing=0)
    legend.location = "top_right"
    slider = RangeSlider(
        start=1, end=payload.about["ranks"][0], value=(first, last), step=1, title="Ranks of the fit", min_width=160
    )
    slider.sizing_mode = "stretch_width"
    reset = Button(label="The study's ranks", width=130)
    return {"spectrum": found, "range_box": box, "range_slider": slider, "reset_range": reset} | sources
