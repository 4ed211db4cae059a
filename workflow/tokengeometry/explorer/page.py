"""A branch's page: one file, which needs no server and no network."""

import html
import re
from pathlib import Path

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.models import Column, CustomJS, Div, InlineStyleSheet, Row
from bokeh.resources import INLINE
from bokeh.settings import settings

from tokengeometry.explorer import colours, sprite
from tokengeometry.explorer.about import details
from tokengeometry.explorer.controls import controls
from tokengeometry.explorer.grid import correlation_grid, token_grid
from tokengeometry.explorer.plane import plane
from tokengeometry.explorer.spectrum import spectrum
from tokengeometry.explorer.trajectory import trajectory

# A random UUID.
RANDOM = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
HERE = Path(__file__).parent
# In the order in which the browser reads them: the later ones call the earlier ones.
CODE = ("shared", "state", "grid", "trajectory", "spectrum", "correlation", "images", "words", "controls")
STYLE = "page.css"
HELP = (
    "<p class='small'>Click a token, or several with shift; drag over places or over UMAP's plane to choose many. Drag "
    "the ends of the marked ranks to fit others. Keys: ← → layer, space plays, shift with arrows moves the chosen "
    "token. The page's address leads back to this view.</p>"
)


def branch_page(payload, title, facts, claims, thumbnails=()):
    """The page of a branch.

    Parameters
    ----------
    payload : tokengeometry.explorer.payload.Payload
    title : str
        Model, data set and split.
    facts : dict of str to (dict or str)
        What stands at the end: sections of the configuration, versions, weights.
    claims : pandas.DataFrame
    thumbnails : iterable of PIL.Image.Image
        Of the images of `payload.pool`, in its order.

    Returns
    -------
    str
        HTML.
    """
    about = payload.about | {"colours": colours.palettes(payload.about["clusters"]), "file": title.replace(" ", ".")}
    arrays = dict(payload.arrays)
    look = (HERE / STYLE).read_text()
    if len(payload.pool):
        content, columns = sprite.sheet(thumbnails)
        about["sprite"] = {"side": sprite.SIDE, "columns": columns}
        arrays["sprite"] = np.frombuffer(content, np.uint8)
    sheet = InlineStyleSheet(css=look)
    models = controls(about) | token_grid(payload) | trajectory(about["layers"]) | spectrum(payload)
    models |= correlation_grid(payload) | plane(payload, models["tokens"])
    models["images"] = Div(name="images", stylesheets=[sheet], sizing_mode="stretch_both", css_classes=["panel"])
    models["words"] = Div(name="words", stylesheets=[sheet], sizing_mode="stretch_width")
    ranks = Row(models["range_slider"], models["reset_range"], sizing_mode="stretch_width")
    panels = [
        models["grid"],
        models["trajectory"],
        Column(models["spectrum"], ranks, sizing_mode="stretch_both"),
        models["correlation"],
        models["plane"],
        models["images"],
    ]
    end = Div(name="details", text=details(facts, claims), stylesheets=[sheet], sizing_mode="stretch_width")
    below = models["words"], text_of(HELP, sheet), end
    root = laid_out(models, text_of(_head(title, about), sheet), panels, below, sheet)
    return as_html(root, f"{title}: token geometry", {"models": models, "arrays": arrays, "about": about}, CODE)


def text_of(text, sheet):
    """Text over the whole width of a page.

    Parameters
    ----------
    text : str
        HTML.
    sheet : bokeh.models.InlineStyleSheet

    Returns
    -------
    bokeh.models.Div
    """
    return Div(text=text, stylesheets=[sheet], sizing_mode="stretch_width")


def laid_out(models, head, panels, below, sheet):
    """A page: its head, the bar of its controls, its charts, and what stands below them.

    Parameters
    ----------
    models : dict of str to bokeh.models.Model
        What the page's code finds by name; each has that name then, unless it has one. `bar` is among them.
    head : bokeh.models.UIElement
    panels : sequence of bokeh.models.UIElement
        The charts.
    below : sequence of bokeh.models.UIElement
    sheet : bokeh.models.InlineStyleSheet

    Returns
    -------
    bokeh.models.Column
    """
    for name, model in models.items():
        model.name = model.name or name
    charts = Row(*panels, stylesheets=[sheet], css_classes=["charts"], sizing_mode="stretch_width")
    return Column(
        head,
        models["bar"],
        charts,
        *below,
        sizing_mode="stretch_width",
        stylesheets=[sheet],
        css_classes=["page"],
        name="page",
    )


def as_html(root, title, arguments, code):
    """A page that starts its code once it is there.

    Parameters
    ----------
    root : bokeh.models.UIElement
    title : str
    arguments : dict
        What the code finds by name.
    code : sequence of str
        Names of `.js` files beside this one; together they are one function.

    Returns
    -------
    str
        HTML.
    """
    document = Document(title=title)
    document.add_root(root)
    text = "\n".join((HERE / f"{name}.js").read_text() for name in code)
    document.js_on_event("document_ready", CustomJS(args=arguments, code=text))
    settings.compression_level = 9
    return _the_same_every_time(file_html(document, INLINE, title))


def _the_same_every_time(page):
    """Bokeh names a page's document and its elements at random; the same results are to be the same bytes."""
    names = {name: f"bokeh-{number}" for number, name in enumerate(dict.fromkeys(RANDOM.findall(page)))}
    return RANDOM.sub(lambda found: names[found[0]], page)


def _head(title, about):
    grid = "×".join(map(str, about["grid"]))
    said = (
        f"N = {about['samples']:,} images · {grid} spatial tokens · layers {about['layers'][0]}–{about['layers'][-1]}"
    )
    return f"<h1>{html.escape(title)} <small>{said}</small></h1>"
