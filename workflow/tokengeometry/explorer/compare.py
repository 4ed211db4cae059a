"""Two branches beside each other, and their difference."""

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJSTickFormatter,
    Div,
    InlineStyleSheet,
    LinearColorMapper,
    RadioButtonGroup,
    Row,
    Select,
    Slider,
    TextInput,
    Toggle,
)

from tokengeometry.explorer import colours, quantities
from tokengeometry.explorer.controls import named
from tokengeometry.explorer.grid import places, token_map
from tokengeometry.explorer.page import HERE, STYLE, as_html, laid_out, text_of
from tokengeometry.explorer.trajectory import trajectory
from tokengeometry.tables import TOGETHER

CODE = ("shared", "compare")
HELP = (
    "<p class='small'>Click a token, or several with shift. Keys: ← → layer, space plays. Both grids have one scale of "
    "colours. The page's address leads back to this view.</p>"
)


def branch_quantities(model, alpha, clusters, statistics, labels):
    """What of a branch is compared.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    alpha, clusters : pandas.DataFrame
    statistics : dict of str to pandas.DataFrame
        The tables of the other statistics, by name.
    labels : dict of str to str
        What each of those is called.

    Returns
    -------
    about : dict
    arrays : dict of str to array
    """
    layers = sorted(int(layer) for layer in alpha.layer.unique())
    tokens = len(model["prefix_tokens"]) + model["grid"][0] * model["grid"][1]
    rows = quantities.Rows(tokens, layers)
    nothing = np.full((len(layers), tokens), np.nan, np.float32)
    shown = quantities.of_tables(rows, alpha, statistics, labels, nothing, clusters)
    # The numbers of clusters are each branch's own.
    shown = [its for its in shown if its.key != "cluster"]
    arrays = {}
    for its in shown:
        kinds = {"value": its.values, "low": its.low, "high": its.high}
        arrays |= {f"{kind}_{its.key}": values for kind, values in kinds.items() if values is not None}
    spots = places({"grid": model["grid"], "prefix": model["prefix_tokens"], "together": list(TOGETHER)})
    about = {
        "layers": layers,
        "grid": list(model["grid"]),
        "prefix": len(model["prefix_tokens"]),
        "names": spots.pop("name"),
        "spots": {name: values if isinstance(values, list) else values.tolist() for name, values in spots.items()},
        "quantities": [{"key": its.key, "label": its.label, "interval": its.low is not None} for its in shown],
    }
    return about, arrays


def compare_page(branches, found):
    """The page of two branches beside each other; which two, one chooses.

    Parameters
    ----------
    branches : sequence of (str, str, str, int)
        Model, data set, split and number of images of each.
    found : sequence of (dict, dict of str to array)
        As of `branch_quantities`.

    Returns
    -------
    str
        HTML.
    """
    abouts = [its | {"title": " ".join(branch[:3])} for branch, (its, _) in zip(branches, found, strict=True)]
    arrays = {f"{index}_{name}": values for index, (_, its) in enumerate(found) for name, values in its.items()}
    shown = list(abouts[0]["layers"])
    about = {"branches": abouts, "colours": colours.palettes(1)}
    sheet = InlineStyleSheet(css=(HERE / STYLE).read_text())
    models = _controls(abouts) | trajectory(shown)
    for side, says in (("a", "the first branch"), ("b", "the second branch"), ("d", "the first less the second")):
        models |= _grid(side, says, about["colours"])
    models["trajectory"].css_classes = ["wide"]
    models["words"] = Div(stylesheets=[sheet], sizing_mode="stretch_both", css_classes=["panel"])
    panels = [models[name] for name in ("grid_a", "grid_b", "grid_d", "trajectory", "words")]
    head = text_of("<h1>Two branches beside each other</h1>", sheet)
    root = laid_out(models, head, panels, [text_of(HELP, sheet)], sheet)
    return as_html(root, "Token geometry: two branches", {"models": models, "arrays": arrays, "about": about}, CODE)


def _controls(abouts):
    options = [(str(index), its["title"]) for index, its in enumerate(abouts)]
    shown = {its["key"]: its["label"] for about in abouts for its in about["quantities"]}
    last = max(len(abouts[0]["layers"]) - 1, 1)
    found = {
        "first": Select(title="First", options=options, value="0", width=200),
        "second": Select(title="Second", options=options, value="1", width=200),
        "layer": Slider(
            start=0,
            end=last,
            value=0,
            step=1,
            title="Layer",
            format=CustomJSTickFormatter(args={"layers": []}, code="return String(layers[tick])"),
            width=165,
        ),
        "play": Toggle(label="▶ Play", width=85),
        "show": Select(title="Show", options=list(shown.items()), value=next(iter(shown)), width=215),
        "scale": RadioButtonGroup(labels=["all layers", "this layer"], active=0),
        "named": TextInput(title="Chosen tokens", placeholder="cls; 3,4", width=100),
    }
    found["bar"] = Row(
        *(found[name] for name in ("first", "second", "layer", "play", "show")),
        named("Colours span", found["scale"]),
        found["named"],
        styles={"flex-wrap": "wrap", "gap": "4px 0", "align-items": "flex-end"},
        sizing_mode="stretch_width",
    )
    return found


def _grid(side, says, hues):
    columns = ("x", "y", "w", "h", "name", "words", "value")
    source = ColumnDataSource({column: [] for column in columns})
    palette = hues["correlation"] if side == "d" else hues["values"]
    mapper = LinearColorMapper(palette=palette, low=0, high=1, nan_color=hues["undefined"])
    models = token_map(
        f"grid_{side}",
        source,
        mapper,
        "value",
        "tap,wheel_zoom,pan,reset,save",
        None,
        f"The tokens coloured by the chosen quantity of {says}.",
    )
    return {f"{name}_{side}": model for name, model in (models | {"tokens": source, "mapper": mapper}).items()}
