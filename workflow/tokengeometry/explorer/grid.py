"""The token grid, and what is drawn on one like it."""

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper
from bokeh.models.tools import SelectTool
from bokeh.plotting import figure

from tokengeometry.explorer import colours

WORDS = {"cls": "CLS", "dist": "DIST", "averaged": "average", "concatenated": "concat."}


def places(about):
    """Where tokens are drawn: the spatial ones on their grid, the others as chips at its left.

    Parameters
    ----------
    about : dict
        Of a payload.

    Returns
    -------
    dict of str to list
        Columns x, y, w, h (in tokens' widths), name, words (what stands on a chip), for every row of a page's arrays.
    """
    rows, columns = about["grid"]
    row, column = np.indices((rows, columns)).reshape(2, -1)
    others = [*about["prefix"], *about["together"]]
    size = max(rows, columns)
    width, height = 0.22 * size, 0.075 * size
    # A gap between single tokens and all of them together.
    steps = np.arange(len(others)) + 0.6 * (np.arange(len(others)) >= len(about["prefix"]))
    chip_x = np.full(len(others), -0.5 - 0.04 * size - width / 2)
    chip_y = -0.5 + height / 2 + steps * 1.25 * height
    split = len(about["prefix"])
    names = [*about["prefix"], *(f"{r},{c}" for r, c in zip(row, column, strict=True)), *about["together"]]

    def around(chips, spatial):
        return [*chips[:split], *spatial, *chips[split:]]

    chips, ones = np.ones(len(others)), np.ones(rows * columns)
    words = [WORDS.get(name, name.replace("_", " ")) for name in others]
    return {
        "x": np.array(around(chip_x, column), np.float32),
        "y": np.array(around(chip_y, row), np.float32),
        "w": np.array(around(width * chips, ones), np.float32),
        "h": np.array(around(height * chips, ones), np.float32),
        "name": names,
        "words": [*words[:split], *[""] * (rows * columns), *words[split:]],
    }


def new_figure(name, tools, drag, says, **settings):
    """A figure of the explorer: its look, its size by its place on the page.

    Parameters
    ----------
    name : str
    tools : str
    drag : str or None
        The tool that is active.
    says : str
        What it shows, for those who do not see it.
    **settings
        Of `bokeh.plotting.figure`.

    Returns
    -------
    bokeh.plotting.figure
    """
    found = figure(
        name=name,
        tools=tools,
        active_drag=drag,
        sizing_mode="stretch_both",
        min_height=300,
        toolbar_location="right",
        # Of their own accord the frames of a row are as high as the lowest.
        frame_align=False,
        title=" ",
        html_attributes={"role": "img", "aria-label": says},
        **settings,
    )
    found.toolbar.logo = None
    found.toolbar.autohide = True
    found.title.text_font_size = "14px"
    found.title.text_color = colours.INK
    found.outline_line_color = None
    for axis in found.axis:
        axis.axis_line_color = axis.major_tick_line_color = colours.PALE
        axis.minor_tick_line_color = None
        axis.axis_label_text_color = axis.major_label_text_color = colours.INK
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"
    for line in found.grid:
        line.grid_line_color = colours.LINES
        line.grid_line_alpha = 0.6
    return found


def small_legend(legend, *, spacing):
    """The look of a legend that stands in or below a chart.

    Parameters
    ----------
    legend : bokeh.models.Legend
    spacing : int
        Pixels between entries.
    """
    legend.label_text_font_size = "12px"
    legend.background_fill_alpha = 0.75
    legend.border_line_color = None
    legend.padding = legend.margin = 4
    legend.spacing = spacing


def token_map(name, source, mapper, title, tools, drag, says):
    """A figure of tokens at their places, coloured by their values.

    What a step of the slider changes is in few and small sources, and what it does not is drawn over it, since a
    chart takes long to draw hundreds of rectangles.

    Parameters
    ----------
    name : str
    source : bokeh.models.ColumnDataSource
        With the columns of `places`, and value. What is pointed at and chosen is found there. It is not drawn: the
        chart need not be told of other values.
    mapper : bokeh.models.LinearColorMapper
    title : str
        What the value is called where a token is pointed at.
    tools, drag, says
        As of `new_figure`.

    Returns
    -------
    dict of str to Bokeh model
        `grid`, the figure. `tiles`, the spatial tokens as one picture: columns image (one array, (row, column)), dw
        and dh. `tiles_drawn`, what draws it. `gaps` between them: columns x0, y0, x1, y1. `chips`, the others: columns
        x, y, w, h, value, words and ink (the colour of words). `chosen`, those that are outlined: columns x, y, w, h.
    """
    found = new_figure(name, tools, drag, says, match_aspect=True)
    found.axis.visible = False
    found.grid.visible = False
    found.y_range.flipped = True
    found.x_range.range_padding = found.y_range.range_padding = 0.01
    tiles = ColumnDataSource({"image": [np.full((1, 1), np.nan, np.float32)], "dw": [1], "dh": [1]})
    gaps = ColumnDataSource({"x0": [], "y0": [], "x1": [], "y1": []})
    chips = ColumnDataSource({column: [] for column in ("x", "y", "w", "h", "value", "words", "ink")})
    chosen = ColumnDataSource({"x": [], "y": [], "w": [], "h": []})
    drawn = found.image("image", x=-0.5, y=-0.5, dw="dw", dh="dh", source=tiles, color_mapper=mapper)
    found.segment("x0", "y0", "x1", "y1", source=gaps, line_color="white", line_width=0.5)
    coloured = {"field": "value", "transform": mapper}
    found.rect("x", "y", "w", "h", source=chips, fill_color=coloured, line_color="white", line_width=0.5)
    found.text(
        "x",
        "y",
        text="words",
        source=chips,
        text_align="center",
        text_baseline="middle",
        text_font_size="11px",
        text_color="ink",
    )
    found_at = found.rect("x", "y", "w", "h", source=source, fill_color=None, line_color=None, level="overlay")
    found_at.nonselection_glyph = None
    found_at.selection_glyph = None
    for tool in found.select({"type": SelectTool}):
        tool.renderers = [found_at]
    found.add_tools(HoverTool(renderers=[found_at], tooltips=[("token", "@name"), (title, "@value{0.0000}")]))
    found.add_layout(
        ColorBar(color_mapper=mapper, width=10, padding=4, major_label_text_font_size="12px", title=None), "right"
    )
    for colour, width in (("white", 5), (colours.INK, 2.5)):
        found.rect(
            "x",
            "y",
            "w",
            "h",
            source=chosen,
            fill_color=None,
            line_color=colour,
            line_width=width,
            level="overlay",
        )
    return {"grid": found, "tiles": tiles, "tiles_drawn": drawn, "gaps": gaps, "chips": chips, "chosen": chosen}


def token_grid(payload):
    """The token grid, with pictures behind it.

    Parameters
    ----------
    payload : tokengeometry.explorer.payload.Payload

    Returns
    -------
    dict of str to Bokeh model
        Those of `token_map`; `tokens`, their source; `mapper`, `mean_image`, `spread_image`.
    """
    about, arrays = payload.about, payload.arrays
    spots = places(about)
    count = len(spots["x"])
    hues = colours.palettes(about["clusters"])
    tokens = ColumnDataSource(spots | {"value": np.full(count, np.nan, np.float32)}, name="tokens")
    mapper = LinearColorMapper(palette=hues["values"], low=0, high=1, nan_color=hues["undefined"])
    models = token_map(
        "token_grid",
        tokens,
        mapper,
        "value",
        "tap,box_select,wheel_zoom,pan,reset,save",
        "box_select",
        "The image's tokens at their places, coloured by the quantity chosen above.",
    )
    rows, columns = about["grid"]
    pictures = {}
    for name in ("mean_image", "spread_image"):
        picture = arrays[name]
        opaque = np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=2)
        pictures[name] = models["grid"].image_rgba(
            [np.ascontiguousarray(opaque).view(np.uint32)[..., 0]],
            x=-0.5,
            y=-0.5,
            dw=columns,
            dh=rows,
            level="underlay",
            visible=False,
        )
    return models | pictures | {"tokens": tokens, "mapper": mapper}


def correlation_grid(payload):
    """The tokens again, in the colours of their correlation with one of them.

    Parameters
    ----------
    payload : tokengeometry.explorer.payload.Payload

    Returns
    -------
    dict of str to Bokeh model
        `correlation`; those of `token_map`, `tokens` and `mapper`, with `_here` at their names.
    """
    about = payload.about
    count = len(about["prefix"]) + about["grid"][0] * about["grid"][1]
    spots = {name: values[:count] for name, values in places(about).items()}
    others = ColumnDataSource(spots | {"value": np.full(count, np.nan, np.float32)})
    hues = colours.palettes(about["clusters"])
    mapper = LinearColorMapper(palette=hues["correlation"], low=-1, high=1, nan_color=hues["undefined"])
    models = token_map(
        "correlation",
        others,
        mapper,
        "r",
        "tap,wheel_zoom,pan,reset,save",
        None,
        "The tokens coloured by Pearson's correlation with the last chosen one.",
    )
    models |= {"tokens": others, "mapper": mapper}
    figure_ = models.pop("grid")
    return {"correlation": figure_} | {f"{name}_here": model for name, model in models.items()}
