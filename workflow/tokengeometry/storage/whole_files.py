"""Files that are either whole or not there."""

import contextlib
import os
from pathlib import Path

from tokengeometry.errors import naming


@contextlib.contextmanager
def whole(path):
    """A place to write a file, which takes its name only once it is whole.

    Parameters
    ----------
    path : path
        Its folder is made where it isn't there.

    Yields
    ------
    pathlib.Path
        Where to write.
    """
    partial = Path(f"{path}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
