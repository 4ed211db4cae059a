"""What chooses the layer, the quantity, the colours and the tokens; and buttons."""

from bokeh.models import (
    Button,
    Column,
    CustomJSTickFormatter,
    Div,
    RadioButtonGroup,
    Row,
    Select,
    Slider,
    TextInput,
    Toggle,
)


def controls(about):
    """The bar above the charts.

    Parameters
    ----------
    about : dict
        Of a payload.

    Returns
    -------
    dict of str to Bokeh model
        `bar` and what is in it: `show`, `layer`, `play`, `scale`, `behind`, `named`; `save_png`, `save_svg`,
        `save_csv`.
    """
    options = [(its["key"], its["label"]) for its in about["quantities"]]
    last = max(len(about["layers"]) - 1, 1)
    found = {
        "show": Select(title="Show", options=options, value=options[0][0], width=225),
        "layer": Slider(
            start=0,
            end=last,
            value=0,
            step=1,
            title="Layer",
            format=CustomJSTickFormatter(args={"layers": about["layers"]}, code="return String(layers[tick])"),
            width=175,
            disabled=len(about["layers"]) < 2,
        ),
        "play": Toggle(label="▶ Play", width=85, disabled=len(about["layers"]) < 2),
        "scale": RadioButtonGroup(labels=["all layers", "this layer"], active=0),
        "behind": RadioButtonGroup(labels=["nothing", "mean", "deviation"], active=0),
        "named": TextInput(title="Chosen tokens", placeholder="cls; 3,4", width=105),
        "save_png": Button(label="PNG", width=50),
        "save_svg": Button(label="SVG", width=50),
        "save_csv": Button(label="CSV", width=50),
    }
    for name, model in found.items():
        model.name = name
    gap = {
        "styles": {"flex-wrap": "wrap", "gap": "4px 0", "align-items": "flex-end"},
        "sizing_mode": "stretch_width",
    }
    found["bar"] = Row(
        found["layer"],
        found["play"],
        found["show"],
        named("Colours span", found["scale"]),
        named("Behind the grid: image", found["behind"]),
        found["named"],
        named("Save", Row(found["save_png"], found["save_svg"], found["save_csv"])),
        **gap,
    )
    return found


def named(title, control):
    """A control that has no title of its own, under one.

    Parameters
    ----------
    title : str
    control : bokeh.models.LayoutDOM

    Returns
    -------
    bokeh.models.Column
    """
    return Column(Div(text=title, styles={"font-size": "13px", "color": "#1B1F24"}, margin=(5, 5, 0, 5)), control)
