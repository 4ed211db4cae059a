"""What captions of Snakemake's report say that Snakemake does not know: of statistics, and of versions."""

import inspect
import platform
import re
from importlib import metadata

from tokengeometry.geometry import statistics

# Whose versions a reader of numbers asks for first.
PACKAGES = ("snakemake", "torch", "timm", "numpy", "scipy", "scikit-learn", "umap-learn", "zarr")
# What reStructuredText would take for markup.
_MARKUP = re.compile(r"([\\*`|]|_(?=\W|$))")


def of_statistic(name):
    """A statistic as its file tells it: its name, what it is, and how it is computed.

    Parameters
    ----------
    name : str
        Of its module.

    Returns
    -------
    dict of str to str
        name; what : the first line of the module's docstring; how : the first paragraph of its function's, which may be
        empty. In reStructuredText.
    """
    module = statistics.load(name)
    function = getattr(module, "of_spectrum", None) or module.of_moments
    what, how = (_first_paragraph(inspect.getdoc(told)) for told in (module, function))
    return {"name": plain(module.NAME), "what": plain(what), "how": plain(how)}


def versions():
    """The versions of Python and of the packages that numbers depend on, as they are installed here.

    Returns
    -------
    dict of str to str
    """
    return {"Python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def plain(text):
    r"""A text in which reStructuredText finds no markup: `*`, `x_` and the like with a backslash before them.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return _MARKUP.sub(r"\\\1", text)


def _first_paragraph(docstring):
    return " ".join((docstring or "").split("\n\n")[0].split())
