"""Calling the constructors of torchvision's data set classes.

The workflow itself sets `root` (unless the user does), `download`, `loader` and the transforms.
"""

import functools
import logging
from pathlib import Path

import torchvision.datasets

from tokengeometry.data.class_names import require_dataset_class
from tokengeometry.data.folders import class_folders, pictures
from tokengeometry.data.images import load
from tokengeometry.data.signatures import parameters_of
from tokengeometry.errors import StudyError, in_one_line, printable

_LOG = logging.getLogger(__name__)

# What constructors raise where files are missing or damaged.
ABSENT = (RuntimeError, FileNotFoundError, NotADirectoryError, EOFError)


class _EachFileOnce:
    """Which pictures a folder with a folder for each class has: torchvision would count hidden and linked ones too."""

    def find_classes(self, directory):
        names = class_folders(directory)
        return names, {name: index for index, name in enumerate(names)}

    @staticmethod
    def make_dataset(directory, class_to_idx, extensions=None, is_valid_file=None, allow_empty=False):
        files, left_out = pictures(directory, extensions, allow_empty=allow_empty)
        for what, count in left_out.items():
            _LOG.warning("%s: left out %d %s", printable(directory), count, what)
        return [(path, class_to_idx[class_name]) for path, class_name in files]


# By their own names, which messages say.
class DatasetFolder(_EachFileOnce, torchvision.datasets.DatasetFolder): ...


class ImageFolder(_EachFileOnce, torchvision.datasets.ImageFolder): ...


class ImageNet(_EachFileOnce, torchvision.datasets.ImageNet): ...


class Country211(_EachFileOnce, torchvision.datasets.Country211): ...


class EuroSAT(_EachFileOnce, torchvision.datasets.EuroSAT): ...


_OF_FOLDERS = {cls.__name__: cls for cls in (DatasetFolder, ImageFolder, ImageNet, Country211, EuroSAT)}


def class_named(class_name):
    """The class of torchvision.datasets; a StudyError that names the nearest where there is none."""
    require_dataset_class(class_name)
    return _OF_FOLDERS.get(class_name) or getattr(torchvision.datasets, class_name)


def folder_of(arguments, root):
    """The folder of a split's files: `root`, unless its arguments have a `root` of their own."""
    return Path(arguments.get("root", root)).expanduser()


def construct(dataset_class, arguments, root, download, white=None):
    """Call the constructor with a split's arguments and with what the workflow sets itself.

    Parameters
    ----------
    dataset_class : type
        A class of torchvision.datasets.
    arguments : dict
        Those of the configuration, checked.
    root : path
        Folder of the files, unless `arguments` has a `root`.
    download : bool
        Whether torchvision may download and unpack what is missing.
    white : float or None
        Becomes the data set's attribute `white`; see `tokengeometry.data.images.load`.

    Raises
    ------
    StudyError
        torchvision takes a value for wrong, or needs a package that is not installed.
    ABSENT
        One of these where files are missing or damaged.
    """
    parameters = parameters_of(dataset_class.__name__)
    loader = functools.partial(load, white=white)
    ours = {"root": str(folder_of(arguments, root)), "loader": loader, "download": download}
    keywords = dict(arguments) | {k: v for k, v in ours.items() if k in parameters}
    try:
        dataset = dataset_class(**keywords)
    except ValueError as error:
        raise StudyError(f"{dataset_class.__name__} with {dict(arguments)}: {in_one_line(error)}") from error
    except ModuleNotFoundError as error:
        raise StudyError(f"{dataset_class.__name__} needs the Python package {error.name!r}: install it") from error
    dataset.white = white
    return dataset
