"""Packages of which every module is one thing that a configuration can name: a statistic, a policy.

A user adds one by adding a file. Modules whose names begin with an underscore are none.
"""

import difflib
import pkgutil

from tokengeometry.errors import StudyError


def names(path):
    """The names of all modules.

    Parameters
    ----------
    path : list of str
        The package's `__path__`.

    Returns
    -------
    list of str
        Sorted.
    """
    modules = (module.name for module in pkgutil.iter_modules(path))
    return sorted(name for name in modules if name.isidentifier() and not name.startswith("_"))


def load(package, name, known, key):
    """A module by its name.

    Parameters
    ----------
    package, name : str
    known : list of str
        As of `names`.
    key : str
        Of the configuration, where it is named.

    Returns
    -------
    module

    Raises
    ------
    StudyError
        There is none of this name, or it is not Python.
    """
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise StudyError(f"{key}: there is no {name!r}; {hint}there are {', '.join(known)}")
    try:
        return pkgutil.resolve_name(f"{package}.{name}")
    except SyntaxError as error:
        raise StudyError(f"{key}: {name}.py, line {error.lineno}: {error.msg}") from error
