"""A branch's page of fewer tokens: what policies keep, how many tokens go where, and which."""

import html

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    Div,
    HoverTool,
    InlineStyleSheet,
    Legend,
    LegendItem,
    LogColorMapper,
    Row,
    Select,
    Slider,
    Span,
    Toggle,
)
from bokeh.palettes import Cividis256

from tokengeometry.explorer import colours
from tokengeometry.explorer.grid import new_figure, small_legend
from tokengeometry.explorer.page import HERE, STYLE, as_html, laid_out, text_of
from tokengeometry.figures import style
from tokengeometry.reduction.runs import WHOLE, policy_of
from tokengeometry.reduction.table import LABELS, main_scores

CODE = ("shared", "reduction")
# The charts of the other pages are in two.
ONE_ROW = ":host(.charts) { grid-auto-rows: clamp(400px, calc(100vh - 240px), 700px) }"
OVER = {
    "share": "Operations over the whole model's",
    "speed": "Images per second over the whole model's, float32",
    "bfloat16_speed": "Images per second over the whole model's, bfloat16",
    "images_per_second": "Images per second, float32",
    "bfloat16_images_per_second": "Images per second, bfloat16",
}
MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "inverted_triangle",
    "P": "plus",
    "X": "x",
}
HELP = (
    "<p class='small'>A point is a policy at a budget: click it to see its tokens. Click a name in the legend to hide "
    "its line. Bars are 95 % intervals over the images; of a policy with seeds all is the mean over them. Point at a "
    "place to see which others are held together with it. Keys: ← → block, space plays. The page's address leads back "
    "to this view.</p>"
)


def reduction_page(title, table, schedules, places, sizes, grid, images):
    """The page of a branch's reductions.

    Parameters
    ----------
    title : str
        Model, data set and split.
    table : pandas.DataFrame
        `reduction.csv`.
    schedules : dict of (str, float) to list of int
        By policy and budget: how many tokens go at each block.
    places : dict of (str, float) to array of int64, (block, place)
        Which token holds each place after each block, in the first image; −1 where it is gone.
    sizes : dict of (str, float) to array, (block, place)
        The mean over the images of how many places are held together with each.
    grid : (int, int)
        Rows and columns.
    images : int
        How many were reduced.

    Returns
    -------
    str
        HTML.
    """
    about = _about(title, table, schedules, grid)
    runs = [tuple(run) for run in about["runs"]]
    arrays = {
        "places": np.stack([places[run] + 1 for run in runs]).astype(np.uint16),
        "sizes": np.stack([sizes[run] for run in runs]).round(3).astype(np.float32),
    }
    sheet = InlineStyleSheet(css=(HERE / STYLE).read_text() + ONE_ROW)
    models = _controls(about)
    curves, found = _tradeoff(about, models["score"])
    models |= found | _schedule(about["depth"]) | _map(grid, float(arrays["sizes"].max()))
    models["words"] = Div(stylesheets=[sheet], sizing_mode="stretch_width")
    head = (
        f"<h1>{html.escape(title)}: fewer tokens <small>N = {images:,} images · {about['places']} spatial tokens · "
        f"<a href='{html.escape(about['file'])}.html'>the branch's page</a></small></h1>"
    )
    panels = [models[name] for name in ("tradeoff", "schedule", "map")]
    root = laid_out(models, text_of(head, sheet), panels, [models["words"], text_of(HELP, sheet)], sheet)
    arguments = {"models": models, "curves": curves, "arrays": arrays, "about": about}
    return as_html(root, f"{title}: fewer tokens", arguments, CODE)


def _about(title, table, schedules, grid):
    """All numbers but those of places."""
    scores = {name: label for name, label in LABELS.items() if name in table}
    over = {name: label for name, label in OVER.items() if name in table}
    numbers = [*over, *(name + end for name in scores for end in ("", "_low", "_high"))]
    means = table.groupby(["policy", "budget"], sort=False)[list(dict.fromkeys(["speed", *numbers]))].mean()
    runs = list(schedules)
    first = main_scores(table)[0]
    # The schedule that the study is about, in the middle of the budgets.
    policy = next((name for name, _ in runs if policy_of(name).schedule_needs), runs[0][0])
    budget = min((budget for name, budget in runs if name == policy), key=lambda its: abs(its - 0.5))
    return {
        "file": title.replace(" ", "."),
        "runs": [list(run) for run in runs],
        "policies": list(dict.fromkeys(name for name, _ in runs)),
        "r": [list(map(int, schedules[run])) for run in runs],
        "depth": len(schedules[runs[0]]),
        "grid": list(grid),
        "places": int(grid[0] * grid[1]),
        "scores": scores,
        "over": over,
        "rows": [{name: float(value) for name, value in means.loc[run].items()} for run in runs],
        "whole": {name: float(table.loc[table.policy == WHOLE, name].mean()) for name in scores},
        "start": {"score": first, "over": "share", "policy": policy, "budget": budget, "block": 1},
    }


def _controls(about):
    budgets = sorted({budget for _, budget in about["runs"]}, reverse=True)
    start = about["start"]
    found = {
        "score": Select(title="Score", options=list(about["scores"].items()), value=start["score"], width=330),
        "over": Select(title="Over", options=list(about["over"].items()), value=start["over"], width=330),
        "policy": Select(title="Policy", options=about["policies"], value=start["policy"], width=160),
        "budget": Select(
            title="Budget",
            options=[(str(budget), f"{budget:.0%}") for budget in budgets],
            value=str(start["budget"]),
            width=90,
        ),
        "layer": Slider(start=1, end=max(about["depth"], 2), value=1, step=1, title="Block", width=150),
        "play": Toggle(label="▶ Play", width=85),
    }
    bar = {"styles": {"flex-wrap": "wrap", "gap": "4px 0", "align-items": "flex-end"}, "sizing_mode": "stretch_width"}
    return found | {"bar": Row(*found.values(), **bar)}


def _tradeoff(about, score):
    """Score over operations or speed, a line for each policy."""
    found = new_figure(
        "tradeoff",
        "tap,pan,wheel_zoom,box_zoom,reset,save",
        None,
        "What is left of a score at each budget, a line for each policy.",
    )
    # Cosines are drawn by their distance to 1, so that values near it are told apart.
    found.yaxis.formatter = CustomJSTickFormatter(
        args={"score": score},
        code="""
        if (!score.value.startsWith("cosine")) return String(Number(tick.toPrecision(4)))
        return (1 - 10 ** -tick).toFixed(Math.max(1, Math.ceil(tick) + 1))
        """,
    )
    whole = Span(location=0, dimension="width", line_color=colours.PALE, line_dash="dashed", visible=False)
    found.add_layout(whole)
    curves, items, dots = [], [], []
    for index, policy in enumerate(about["policies"]):
        look = style.policy_style(index)
        source = ColumnDataSource({name: [] for name in ("x", "y", "low", "high")}, name=policy)
        thick = 2.5 if policy_of(policy).schedule_needs else 1.2
        dash = "solid" if look["linestyle"] == "-" else "dashed"
        line = found.line("x", "y", source=source, line_color=look["color"], line_width=thick, line_dash=dash)
        bars = found.segment("x", "low", "x", "high", source=source, line_color=look["color"], line_width=1.2)
        dot = found.scatter("x", "y", source=source, marker=MARKERS[look["marker"]], size=8, color=look["color"])
        for renderer in (line, bars, dot):
            renderer.nonselection_glyph = None
        curves.append(source)
        dots.append(dot)
        items.append(LegendItem(label=policy, renderers=[line, bars, dot]))
    ring = ColumnDataSource({"x": [], "y": []})
    found.scatter("x", "y", source=ring, size=15, fill_color=None, line_color=colours.INK, line_width=2)
    tooltips = [
        ("", "@words"),
        ("score", "@value"),
        ("95 %", "@interval"),
        ("operations", "@share"),
        ("speed", "@speed"),
    ]
    found.add_tools(HoverTool(renderers=dots, tooltips=tooltips))
    legend = Legend(items=items, click_policy="hide", ncols=3, name="legend")
    found.add_layout(legend, "below")
    small_legend(legend, spacing=1)
    axes = {"x_axis": found.xaxis[0], "y_axis": found.yaxis[0]}
    return curves, {"tradeoff": found, "ring": ring, "whole": whole} | axes


def _schedule(depth):
    """How many tokens go at each block."""
    found = new_figure(
        "schedule", "pan,wheel_zoom,reset,save", None, "How many tokens the chosen policy takes away at each block."
    )
    found.xaxis.axis_label, found.yaxis.axis_label = "Block", "Tokens that go"
    found.xaxis.ticker.desired_num_ticks = min(depth, 12)
    found.xaxis.ticker.mantissas = [1, 2, 5]
    found.y_range.start = 0
    blocks = ColumnDataSource({"block": [], "r": [], "left": [], "colour": []})
    bars = found.vbar("block", top="r", width=0.8, source=blocks, fill_color="colour", line_color=None)
    found.add_tools(HoverTool(renderers=[bars], tooltips=[("block", "@block"), ("go", "@r"), ("are left", "@left")]))
    return {"schedule": found, "blocks": blocks}


def _map(grid, most):
    """The places on their grid, and which of them a token holds."""
    found = new_figure(
        "map",
        "wheel_zoom,pan,reset,save",
        None,
        "The image's places, coloured by how many are held together with each; lines part different tokens.",
        match_aspect=True,
    )
    found.axis.visible = found.grid.visible = False
    found.y_range.flipped = True
    found.x_range.range_padding = found.y_range.range_padding = 0.01
    row, column = np.indices(grid).reshape(2, -1)
    places = ColumnDataSource(
        {
            "x": column,
            "y": row,
            "name": [f"{r},{c}" for r, c in zip(row, column, strict=True)],
            "value": np.full(len(row), np.nan, np.float32),
            "token": np.zeros(len(row), int),
            "together": [""] * len(row),
        }
    )
    mapper = LogColorMapper(palette=list(Cividis256), low=1, high=max(2, most), nan_color=style.UNDEFINED)
    rects = found.rect(
        "x", "y", 1, 1, source=places, fill_color={"field": "value", "transform": mapper}, line_color=None
    )
    edges = ColumnDataSource({name: [] for name in ("x0", "y0", "x1", "y1")})
    found.segment("x0", "y0", "x1", "y1", source=edges, line_color="white", line_width=1.2)
    held = ColumnDataSource({"x": [], "y": []})
    for colour, width in (("white", 4), (colours.CHOSEN[0], 2.5)):
        found.rect("x", "y", 0.9, 0.9, source=held, fill_color=None, line_color=colour, line_width=width)
    pointed = CustomJS(
        args={"places": places, "held": held},
        code="""
        const at = cb_data.index.indices[0], {token, x, y} = places.data
        const all = at === undefined || !token[at] ? [] : Array.from(token.keys())
        const rows = all.filter((row) => token[row] === token[at])
        held.data = {x: rows.map((row) => x[row]), y: rows.map((row) => y[row])}
        """,
    )
    tooltips = [("place", "@name"), ("first image", "@together"), ("mean over images", "@value{0.00}")]
    found.add_tools(HoverTool(renderers=[rects], tooltips=tooltips, callback=pointed))
    bar = ColorBar(color_mapper=mapper, width=10, padding=4, major_label_text_font_size="12px", title=None)
    found.add_layout(bar, "right")
    return {"map": found, "cells": places, "edges": edges, "held": held}
