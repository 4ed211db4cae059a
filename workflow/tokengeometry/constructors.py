"""The constructors of torchvision's data set classes: which arguments they take, and calling them.

The workflow itself sets ``root`` (unless the user does), ``download``, ``loader`` and the transforms.
"""

import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision.datasets

from .catalogue import require_dataset_class
from .errors import StudyError, in_one_line
from .images import load

# What constructors raise where files are missing or damaged.
ABSENT = (RuntimeError, FileNotFoundError, NotADirectoryError, EOFError)

_OURS = {"download", "is_valid_file", "loader", "target_transform", "transform", "transforms"}


def class_named(class_name: str) -> type:
    """The class of torchvision.datasets; a StudyError that names the nearest where there is none."""
    require_dataset_class(class_name)
    return getattr(torchvision.datasets, class_name)


def folder_of(arguments: Mapping, root: str | Path) -> Path:
    """The folder of a split's files: ``root``, unless its arguments have a ``root`` of their own."""
    return Path(arguments.get("root", root)).expanduser()


def parameters_of(dataset_class: type) -> dict[str, inspect.Parameter]:
    """Parameters of the constructor, with those it hands on to its base classes as ``**kwargs``."""
    parameters = {}
    for ancestor in dataset_class.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        own = list(inspect.signature(ancestor.__init__).parameters.values())[1:]
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                parameters.setdefault(parameter.name, parameter)
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in own):
            break
    return parameters


def check_arguments(dataset_class: type, arguments: Mapping) -> None:
    """Raise StudyError, saying what would be right, unless the constructor takes these arguments."""
    name = dataset_class.__name__
    parameters = parameters_of(dataset_class)
    accepted = [p for p in parameters if p not in _OURS and not p.startswith("_")]
    for argument, given in arguments.items():
        if argument not in accepted:
            nearest = difflib.get_close_matches(str(argument), accepted, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise StudyError(f"{name} takes no argument {argument!r}: {hint}it takes {', '.join(accepted)}")
        # torchvision takes any non-empty string, "false" too, for true.
        annotation = str if argument == "root" else parameters[argument].annotation
        for kind in (bool, int, str):
            if annotation in (kind, kind.__name__) and type(given) is not kind:
                raise StudyError(f"{name}: argument {argument!r} is {given!r}: it has to be a {kind.__name__}")
    for argument in accepted:
        required = parameters[argument].default is inspect.Parameter.empty
        if required and argument != "root" and argument not in arguments:
            raise StudyError(f"{name} needs an argument {argument!r}")


def construct(dataset_class: type, arguments: Mapping, root: str | Path, download: bool) -> torch.utils.data.Dataset:
    """Call the constructor with a split's arguments and with what the workflow sets itself.

    Parameters
    ----------
    dataset_class
        A class of torchvision.datasets.
    arguments
        Those of the configuration, checked.
    root
        Folder of the files, unless ``arguments`` has a ``root``.
    download
        Whether torchvision may download and unpack what is missing.

    Raises
    ------
    StudyError
        torchvision takes a value for wrong, or needs a package that is not installed.
    ABSENT
        One of these where files are missing or damaged.
    """
    parameters = parameters_of(dataset_class)
    ours = {"root": str(folder_of(arguments, root)), "loader": load, "download": download}
    keywords = dict(arguments) | {k: v for k, v in ours.items() if k in parameters}
    try:
        return dataset_class(**keywords)
    except ValueError as error:
        raise StudyError(f"{dataset_class.__name__} with {dict(arguments)}: {in_one_line(error)}") from error
    except ModuleNotFoundError as error:
        raise StudyError(f"{dataset_class.__name__} needs the Python package {error.name!r}: install it") from error
