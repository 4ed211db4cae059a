"""Statistics of a token, one a file: functions of a spectrum, or of moments, to numbers.

Every module of this folder is a statistic, but for those whose names begin with an underscore. It has

NAME : str
    A word or a symbol for sentences, such as "α".
LABEL : str
    For axes, such as "Power-law exponent α".
SETTINGS : str, optional
    The section of the configuration whose keys its function takes as keyword arguments; none without it.
TABLE : str, optional
    The name of its table, without `.csv`; by default the module's.

and one of two functions, which return a dict of named arrays. The first is what figures show; it is NaN where the
statistic is undefined, and "reason", an array of str, may say why.

of_spectrum(eigenvalues, floor, samples, **settings)
    eigenvalues : array, (..., rank), float64, descending; floor : array, broadcast to them, below which they are
    rounding; samples : int, N. The arrays have the leading axes of the eigenvalues. It is called with every token's
    spectrum, and with those of all tokens together (averaged, pooled, concatenated).
of_moments(moments, **settings)
    moments : `tokengeometry.geometry.moments.Moments` of all parts: count, mean and norms; the others are None. The
    arrays are (token,).

The key `statistics` of the configuration names the modules to use.
"""

from tokengeometry import one_a_file
from tokengeometry.errors import StudyError


def names():
    """The names of all statistics.

    Returns
    -------
    list of str
        Sorted.
    """
    return one_a_file.names(__path__)


def load(name):
    """The module of a statistic.

    Parameters
    ----------
    name : str

    Returns
    -------
    module

    Raises
    ------
    StudyError
        There is none of this name, or it lacks what a statistic has.
    """
    module = one_a_file.load(__name__, name, names(), "statistics")
    missing = [constant for constant in ("NAME", "LABEL") if not hasattr(module, constant)]
    if hasattr(module, "of_spectrum") == hasattr(module, "of_moments"):
        missing.append("of_spectrum or of_moments, one of them")
    if missing:
        raise StudyError(f"statistics: {name}.py lacks {', '.join(missing)}; CONTRIBUTING.md says what a statistic has")
    return module


def table_of(name):
    """The name of a statistic's table, without `.csv`.

    Parameters
    ----------
    name : str
        Of its module.

    Returns
    -------
    str

    Raises
    ------
    StudyError
        As of `load`.
    """
    return getattr(load(name), "TABLE", name)
