"""The colours of the pages: those of the figures."""

from bokeh.palettes import Plasma256, RdBu11, Viridis256, interp_palette
from matplotlib.colors import to_hex

from tokengeometry.figures import style

# Of single tokens: Paul Tol's "bright", whose hues no cluster has.
CHOSEN = ("#AA3377", "#4477AA", "#228833", "#EE6677", "#66CCEE", "#BBBBBB")
INK = "#1B1F24"
PALE = "#5F6B7A"
LINES = "#D8DEE4"


def palettes(clusters):
    """All colours that a page needs in the browser.

    Parameters
    ----------
    clusters : int
        How many there are.

    Returns
    -------
    dict
    """
    return {
        "values": list(Viridis256),
        "pixels": list(Plasma256),
        "correlation": list(interp_palette(RdBu11, 255)),
        "clusters": [to_hex(style.cluster_colour(number)) for number in range(1, max(clusters, 1) + 1)],
        "chosen": list(CHOSEN),
        "cls": style.CLS,
        "pooled": style.POOLED,
        "ink": INK,
        "undefined": style.UNDEFINED,
    }
