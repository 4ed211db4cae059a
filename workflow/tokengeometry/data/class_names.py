"""The data set classes a configuration can name, known without importing torchvision.

The Snakefile validates the configuration each time it is parsed, and importing torchvision (with
torch) takes seconds.
"""

import ast
import difflib
import functools
import importlib.util
from pathlib import Path

from tokengeometry.errors import StudyError

# VisionDataset is abstract; LSUN unpickles a cache file that nothing has verified.
_UNUSABLE = {"VisionDataset", "LSUN", "LSUNClass"}


def datasets_folder():
    """The folder of the source of torchvision's data set classes."""
    package = importlib.util.find_spec("torchvision")
    if package is None:
        raise StudyError("torchvision is not installed: data sets are torchvision classes")
    return Path(package.submodule_search_locations[0], "datasets")


@functools.cache
def _classes():
    source = datasets_folder() / "__init__.py"
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]:
            exported = ast.literal_eval(node.value)
            return tuple(n for n in exported if n[0].isupper() and n not in _UNUSABLE)
    raise StudyError(f"{source} has no list of data set classes: install the locked torchvision")


def dataset_class_names():
    """Names of torchvision's data set classes that a study can use, in torchvision's order.

    Read from the syntax tree of `torchvision/datasets/__init__.py`; nothing is imported.
    """
    return list(_classes())


def require_dataset_class(name):
    """Raise StudyError, naming the nearest classes, unless `name` is one of them."""
    names = {known.lower(): known for known in _classes()}
    if name in names.values():
        return
    if name in _UNUSABLE:
        raise StudyError(f"data set class {name!r} cannot be used: it is abstract or loads an unverified pickle")
    nearest = difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(names[n] for n in nearest)}" if nearest else "e.g. CIFAR10"
    raise StudyError(f"{name!r} is not a data set class of torchvision.datasets ({hint})")
