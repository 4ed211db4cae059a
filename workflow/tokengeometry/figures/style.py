"""What all figures share: sizes, colours and their meaning, axes over layers and over α, and saving.

Colours are those of Okabe & Ito ("Color Universal Design", 2008) for clusters and for kinds of token, and of
Paul Tol's "muted" scheme (SRON/EPS/TN/09-002) for data sets, so that no colour stands for two things.
The split is told by the line: test is solid, train is dashed.
"""

import math
import textwrap
from itertools import groupby
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tokengeometry.errors import naming

SINGLE_COLUMN = 3.4  # inches
DOUBLE_COLUMN = 7.0  # inches
PNG_DPI = 200

# CLS is black, as in the paper's figures.
CLS = "#000000"
POOLED = "#D55E00"
CONCATENATED = "#CC79A7"
TOKEN_MEAN = "#56B4E9"
AVERAGED = "#5E3C99"
UNDEFINED = "#D4D4D4"
UNDEFINED_HATCH = "#8A8A8A"
UNDEFINED_AREA = {"facecolor": UNDEFINED, "edgecolor": UNDEFINED_HATCH, "hatch": "/////", "linewidth": 0}
SPECTRUM = "#000000"
UNRESOLVED = "#B0B0B0"
FIT = "#AA3377"
ANNOTATION = "#4D4D4D"
# Verdicts on statements, also told by a word and a marker.
HOLDS = "#117733"
FAILS = "#A50026"
UNTOLD = "#5F6B7A"

ALPHA_MAP = "viridis"
PIXELS_MAP = "plasma"  # of layer 0, where it has a scale of its own
CORRELATION_MAP = "RdBu_r"
LAYER_MAP = "cividis"

_CLUSTERS = ("#0072B2", "#E69F00", "#009E73", "#F0E442")
_DATASETS = ("#332288", "#CC6677", "#44AA99", "#999933", "#882255", "#DDCC77")
_DATASET_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Paul Tol's "bright" scheme, of policies that reduce tokens.
_POLICIES = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#777777")
_POLICY_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SPLITS = {"test": "-", "train": (0, (3, 1.2))}
_OTHER_SPLITS = ((0, (1, 1)), (0, (4, 1, 1, 1)), (0, (4, 1, 1, 1, 1, 1)))

_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelpad": 3,
    "axes.titlepad": 4,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "lines.markeredgewidth": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.dpi": PNG_DPI,
    "svg.fonttype": "path",
    "svg.hashsalt": "tokengeometry",
}

# Usable as a decorator: the same figure whatever matplotlibrc the user has.
applied = matplotlib.style.context(["default", _RC])


def new_figure(width, height):
    """A figure that belongs to no window and to no pyplot state.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return Figure(figsize=(width, height), layout="constrained")


@applied
def save(figure, branches, png_path, svg_path):
    """Say under a figure what it is of, write it as a bitmap (200 dpi) and as vectors, then release what it holds.

    The same figure gives the same bytes: no date, no software version, identifiers from a fixed salt.
    Directories are created where they are missing. The files' own title says what the figure is of, too.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    branches : sequence of (str, str, str, int)
        Model, data set, split and number of images N of each branch that the figure shows.
    png_path, svg_path : path
    """
    name_branches(figure, branches)
    for path in (png_path, svg_path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    title = in_words(branches)
    with naming(png_path):
        figure.savefig(png_path, format="png", dpi=PNG_DPI, metadata={"Title": title, "Software": None})
    # Laid out once for both.
    figure.set_layout_engine("none")
    with naming(svg_path):
        figure.savefig(
            svg_path,
            format="svg",
            dpi=PNG_DPI,
            metadata={"Title": title, "Date": None, "Creator": None, "Format": None},
        )
    figure.clear()


def in_words(branches):
    """Branches as `MODEL · DATASET SPLIT (N = 2,000 images)`, a model's together.

    Parameters
    ----------
    branches : sequence of (str, str, str, int)
        As of `save`; those of a model, and of its data set, one after another.

    Returns
    -------
    str
    """
    words = []
    for model, of_model in groupby(branches, key=lambda branch: branch[0]):
        datasets = [
            f"{dataset} " + ", ".join(f"{split} (N = {samples:,} images)" for *_, split, samples in of_dataset)
            for dataset, of_dataset in groupby(of_model, key=lambda branch: branch[1])
        ]
        words.append(f"{model} · {', '.join(datasets)}")
    return "; ".join(words)


def name_branches(figure, branches):
    """Say what a figure is of, as the last line of its small print.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    branches : sequence of (str, str, str, int)
        As of `save`.
    """
    note(figure, [in_words(branches)])


def cluster_colour(cluster):
    """The colour of a cluster; beyond four the hues return darker, then lighter.

    Parameters
    ----------
    cluster : int
        From 1.

    Returns
    -------
    (float, float, float)
        RGB in 0…1.
    """
    round_, hue = divmod(int(cluster) - 1, len(_CLUSTERS))
    colour = np.array(to_rgb(_CLUSTERS[hue]))
    if round_ == 0:
        return tuple(colour.tolist())
    target = 0.0 if round_ % 2 else 1.0
    strength = 1 - 0.5 / ((round_ + 1) // 2)
    return tuple((colour + max(strength, 0.5) * (target - colour)).tolist())


def branch_style(label, branches):
    """Colour, marker and line style of one branch.

    The colour and the marker tell the data set, by its position among those of `branches`. The line tells the split.

    Parameters
    ----------
    label : str
        The data set and then, as its last word, the split: `STL-10 train`.
    branches : sequence of str
        The labels of all branches of the study: give the same to every figure of a study.

    Returns
    -------
    dict
        Keyword arguments of matplotlib's `plot`.
    """
    dataset, split = _dataset_and_split(label)
    datasets = list(dict.fromkeys(_dataset_and_split(branch)[0] for branch in branches))
    position = datasets.index(dataset)
    return {
        "color": _DATASETS[position % len(_DATASETS)],
        "marker": _DATASET_MARKERS[position % len(_DATASET_MARKERS)],
        "linestyle": split_line(split, [_dataset_and_split(branch)[1] for branch in branches]),
        # Where two splits lie on each other, a hollow marker shows both.
        "markerfacecolor": "white" if split == "train" else None,
    }


def policy_style(index):
    """Colour, marker and line of a policy that reduces tokens, by its position among those of a figure.

    Parameters
    ----------
    index : int
        From 0.

    Returns
    -------
    dict
        Keyword arguments of matplotlib's `plot`.
    """
    round_, hue = divmod(index, len(_POLICIES))
    return {
        "color": _POLICIES[hue],
        "marker": _POLICY_MARKERS[(hue + 3 * round_) % len(_POLICY_MARKERS)],
        "linestyle": ("-", (0, (3, 1.2)), (0, (1, 1)))[round_ % 3],
    }


def split_line(split, splits=()):
    """Line style of a split: test is solid, train is dashed, any other by its position.

    Parameters
    ----------
    split : str
    splits : sequence of str
        All of the study.

    Returns
    -------
    str or tuple
        As matplotlib takes it.
    """
    if split in _SPLITS:
        return _SPLITS[split]
    others = list(dict.fromkeys(name for name in splits if name and name not in _SPLITS))
    return _OTHER_SPLITS[others.index(split) % len(_OTHER_SPLITS)] if split in others else "-"


def layer_axis(axes, layers):
    """Make the x axis one of integer layers: all of them labelled where there is room, else every nth.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    layers : iterable of int
    """
    layers = sorted({int(layer) for layer in layers})
    axes.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    step = math.ceil(len(layers) / 13)
    axes.xaxis.set_major_locator(FixedLocator(layers[::step]))
    axes.xaxis.set_minor_locator(FixedLocator(layers) if step > 1 else NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda layer, _: f"{layer:.0f}"))
    axes.set_xlabel("Layer (0: image patches)" if layers[0] == 0 else "Layer")


def alpha_axis(axis, low, high):
    """Plain numbers (1, 1.5, 2, 3, …) as ticks of a log axis.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    low, high : float
        What it spans.
    """
    axis.set_major_locator(FixedLocator(_plain_log_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def alpha_limits(values):
    """Limits of a log axis around all finite positive values, with a small margin.

    Parameters
    ----------
    values : iterable of float

    Returns
    -------
    low, high : float
        1 and 3 if there are no such values.
    """
    values = np.asarray(list(values), dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return 1.0, 3.0
    margin = max((values.max() / values.min()) ** 0.05, 1.02)
    return float(values.min() / margin), float(values.max() * margin)


def note(figure, sentences):
    """Add small print under everything: what is undefined, what a band means.

    The figure grows by the height of the text, so that the axes keep theirs.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    sentences : iterable of str
        A line, or more, for each; none for an empty one.
    """
    size, spacing = 6.5, 1.25
    width, height = figure.get_size_inches()
    characters = int(width * 72 / (size * 0.53))
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, characters)]
    if lines:
        before = [figure.get_supxlabel()] if figure.get_supxlabel() else []
        figure.set_size_inches(width, height + len(lines) * size * spacing / 72 + 0.06 * (not before))
        words = "\n".join([*before, *lines])
        figure.supxlabel(words, x=0.02, ha="left", fontsize=size, color=ANNOTATION, linespacing=spacing)


def bar_ends(below, above):
    """At which ends a colour bar is pointed, for values beyond its scale.

    Parameters
    ----------
    below, above : bool
        Whether there are such values.

    Returns
    -------
    str
        As matplotlib's `extend`.
    """
    return {(False, False): "neither", (True, False): "min", (False, True): "max"}.get((below, above), "both")


def label_bar(figure, bar, words):
    """Label a colour bar, in as many lines as the height of its figure asks for.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    bar : matplotlib.colorbar.Colorbar
    words : str
    """
    characters = int(figure.get_size_inches()[1] * 72 / (8 * 0.62))
    bar.set_label("\n".join(textwrap.wrap(words, characters)))
    bar.outline.set_linewidth(0.5)


def hatch_undefined(axes, corner, size):
    """Hatch the area behind an image in which what is undefined is transparent.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    corner : (float, float)
        The smallest x and y of the area, in data coordinates.
    size : (float, float)
        Its width and height.
    """
    axes.add_patch(Rectangle(corner, *size, zorder=-1, **UNDEFINED_AREA))


def panel_columns(panels):
    """Number of columns that lays panels out nearly square, a little wide, with few empty places.

    Parameters
    ----------
    panels : int

    Returns
    -------
    int
    """
    candidates = range(math.ceil(math.sqrt(panels)), math.ceil(math.sqrt(1.8 * panels)) + 1)
    return min(candidates, key=lambda columns: (-panels % columns, columns))


def panels(count, aspect, bars=1):
    """A figure of equal image panels with room for colour bars.

    Parameters
    ----------
    count : int
        Of panels.
    aspect : float
        A panel's height over its width.
    bars : int
        Of colour bars beside each other.

    Returns
    -------
    figure : matplotlib.figure.Figure
    all_axes : list of matplotlib.axes.Axes
        `count` of them, row by row.
    """
    columns = panel_columns(count)
    rows = math.ceil(count / columns)
    width = DOUBLE_COLUMN if columns > 2 else SINGLE_COLUMN
    panel_height = (width - 0.25 - 0.6 * bars) / columns * aspect
    figure = new_figure(width, min(rows * (panel_height + 0.22) + 0.05, 9.0))
    grid = figure.subplots(rows, columns, squeeze=False)
    for unused in grid.flat[count:]:
        unused.remove()
    return figure, list(grid.flat[:count])


def _dataset_and_split(label):
    dataset, _, split = label.rpartition(" ")
    return (dataset, split) if dataset else (label, "")


def _plain_log_ticks(low, high):
    for steps in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        (1, 1.2, 1.4, 1.6, 2, 2.5, 3, 4, 5, 6, 8),
        tuple(np.round(np.arange(1, 10, 0.1), 1)),
    ):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            return ticks if len(ticks) <= 9 else ticks[::2]
    return [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
