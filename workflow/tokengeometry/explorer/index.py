"""The page of all branches: a picture and the first numbers of each, and the way to its page."""

import base64
import html
import io
from pathlib import Path

import numpy as np
from bokeh.palettes import Viridis256
from PIL import Image

from tokengeometry.figures import style

# Pixels of a picture's longer side.
SIDE = 168
VERDICTS = ("holds", "does not hold", "can't be told here")


def index_page(branches, models, alphas, correlations, claims):
    """The page of all branches.

    Parameters
    ----------
    branches : sequence of (str, str, str, int)
        Model, data set, split and number of images of each.
    models : sequence of dict
        The content of each one's `model.json`.
    alphas, correlations, claims : iterable of pandas.DataFrame
        Each one's tables.

    Returns
    -------
    str
        HTML, without any script.
    """
    cards = [_card(*its) for its in zip(branches, models, alphas, correlations, claims, strict=True)]
    both = "<p><a href='compare.html'>Two branches beside each other</a></p>" if len(cards) > 1 else ""
    look = (Path(__file__).parent / "index.css").read_text()
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Token geometry</title>"
        f"<style>{look}</style></head><body><h1>Token geometry</h1>"
        f"<p>A page for each model on each split. The picture is α of the tokens at the last layer, brighter where it "
        f"is higher.</p>{both}<main>{''.join(cards)}</main></body></html>\n"
    )


def _card(branch, model, alpha, correlation, claims):
    *names, samples = branch
    layers = sorted(alpha.layer.unique())
    spatial = alpha[alpha.kind == "spatial"]
    last = spatial[spatial.layer == layers[-1]]
    title = html.escape(" ".join(names))
    rows = {
        "images": f"{samples:,}",
        "tokens": f"{len(model['prefix_tokens'])} + {model['grid'][0]}×{model['grid'][1]}",
        "layers": f"{layers[0]}–{layers[-1]}" if len(layers) > 1 else str(layers[0]),
        f"mean α at layer {layers[-1]}": _number(last.alpha.mean()),
        "mean correlation at layer " + str(correlation.layer.iloc[-1]): _number(correlation["mean"].iloc[-1]),
    }
    lacking = int(spatial.alpha.isna().sum())
    if lacking:
        rows["α is empty"] = f"{lacking} of {len(spatial)} times"
    for verdict in VERDICTS:
        rows[f"claims: {verdict}"] = str(int((claims.verdict == verdict).sum()))
    table = "".join(f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in rows.items())
    picture = base64.b64encode(_picture(last, model["grid"])).decode()
    says = f"α of the tokens at layer {layers[-1]}, from {_number(last.alpha.min())} to {_number(last.alpha.max())}"
    return (
        f"<article><h2><a href='{html.escape('.'.join(names))}.html'>{title}</a></h2>"
        f"<a href='{html.escape('.'.join(names))}.html' tabindex='-1'>"
        f"<img alt='{html.escape(says)}' src='data:image/png;base64,{picture}'></a>"
        f"<table>{table}</table></article>"
    )


def _number(value):
    return "–" if not np.isfinite(value) else f"{value:.3f}"


def _picture(rows, grid):
    """α of the spatial tokens as a PNG, a square a token; grey where there is none."""
    values = np.full(grid, np.nan)
    values[rows.row.astype(int), rows.column.astype(int)] = rows.alpha
    defined = np.isfinite(values)
    colours = np.empty((*grid, 3), np.uint8)
    colours[:] = _bytes(style.UNDEFINED)
    if defined.any():
        low, high = values[defined].min(), values[defined].max()
        steps = np.rint((values[defined] - low) / ((high - low) or 1) * 255).astype(int)
        colours[defined] = np.array([_bytes(colour) for colour in Viridis256])[steps]
    scale = max(1, SIDE // max(grid))
    file = io.BytesIO()
    Image.fromarray(colours).resize((grid[1] * scale, grid[0] * scale), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def _bytes(colour):
    return tuple(bytes.fromhex(colour[1:7]))
