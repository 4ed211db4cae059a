"""A journal of downloads into a folder, so that what a killed one leaves is never taken as whole.

Many of torchvision's classes take an unpacked folder for whole because it is there. Before one of them downloads,
the journal lists what is in the folder; as long as the journal is there, anything else is the rest of a download
that was cut short.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from tokengeometry.errors import StudyError, printable

JOURNAL = ".fetching.json"
CUT_SHORT = "cut_short"

_LOG = logging.getLogger(__name__)

_PART = f"{JOURNAL}.part"
# What the workflow itself has in a data set's folder.
_OURS = {".lock", JOURNAL, _PART, CUT_SHORT, "splits"}
_NAMED = 3


@contextlib.contextmanager
def journal(folder: Path, is_users: bool) -> Iterator[None]:
    """Keep a journal of a folder while the block downloads into it; after an error undo what the block did.

    Parameters
    ----------
    folder
        It is there, and no other process downloads into it.
    is_users
        Whether it is the user's own, where no file is moved: what an error leaves stays there with the journal.
    """
    (folder / _PART).write_text(json.dumps(sorted(_below(folder)), indent=0))
    os.replace(folder / _PART, folder / JOURNAL)
    try:
        yield
    except Exception:
        try:
            undo(folder, is_users)
        except StudyError as refusal:
            _LOG.warning("%s", refusal)
        raise
    (folder / JOURNAL).unlink()


def undo(folder: Path, is_users: bool) -> None:
    """Undo a download that was cut short: what it left goes to the folder ``cut_short`` there.

    Does nothing where there is no journal. Files and links to folders are moved, replacing what was moved before;
    folders that the download made are removed; the journal goes last, so that this can be cut short too.

    Parameters
    ----------
    folder, is_users
        As of ``journal``.

    Raises
    ------
    StudyError
        The download left files in a folder that is the user's own.
    """
    if not (folder / JOURNAL).is_file():
        return
    left = _below(folder) - set(json.loads((folder / JOURNAL).read_text()))
    files = [path for path in left if not path.endswith("/")]
    aside = folder / CUT_SHORT
    if files and is_users:
        raise StudyError(
            f"{folder.absolute()}: a download was cut short and may have unpacked half of its files: "
            f"delete {_named(left)} and {JOURNAL} there and run again"
        )
    if files:
        _LOG.warning(
            "%s: a download was cut short; what it left goes to %s, which can be deleted",
            printable(folder),
            printable(aside),
        )
    for path in files:
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / path, aside / path)
    # A folder's path comes before those of the folders in it.
    for path in sorted(left.difference(files), reverse=True):
        (folder / path).rmdir()
    (folder / JOURNAL).unlink()


def _below(folder: Path) -> set[str]:
    """Relative paths of what is below a folder and not the workflow's; those of folders end with a slash."""
    paths = set()
    for parent, folders, files in os.walk(folder):
        place = Path(parent).relative_to(folder)
        if place == Path():
            folders[:] = [name for name in folders if name not in _OURS]
            files = [name for name in files if name not in _OURS]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        paths.update((place / name).as_posix() for name in (*files, *links))
        paths.update(f"{(place / name).as_posix()}/" for name in folders if name not in links)
    return paths


def _named(left: set[str]) -> str:
    """The outermost of some paths, where they are few."""
    outermost = sorted(path for path in left if f"{Path(path).parent.as_posix()}/" not in left)
    more = f" and {len(outermost) - _NAMED} more that {JOURNAL} does not list" if len(outermost) > _NAMED else ""
    return ", ".join(outermost[:_NAMED]) + more
