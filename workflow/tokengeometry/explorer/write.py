"""Pages on disk."""

import os
from pathlib import Path

from tokengeometry.errors import naming


def write_page(path, page):
    """Write a page; it takes its name only once it is whole.

    Parameters
    ----------
    path : path
    page : str
    """
    partial = Path(f"{path}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path):
            partial.write_text(page)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
