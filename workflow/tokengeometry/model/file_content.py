"""The content of a local file, by its sha256."""

import hashlib
import os
import time
from pathlib import Path

from tokengeometry.errors import StudyError
from tokengeometry.operations import answers

# Of a file that was written this shortly before, another write may leave no trace in its times.
SETTLED_SECONDS = 2


def local_file(path):
    """A file that the configuration names, relative to the working directory or to `~`; a StudyError where it isn't."""
    file = Path(path).expanduser()
    if file.is_dir():
        raise StudyError(f"weights.path: {file} is a folder; name the file in it")
    if not file.is_file():
        raise StudyError(f"weights.path: there is no file {file}")
    return file


def sha256_of(path):
    """The sha256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path, folder=answers.FOLDER):
    """The sha256 of a file that is large and seldom changes, from the last time where nothing has touched it since.

    Parameters
    ----------
    path : path
    folder : path
        Where it is kept; see `tokengeometry.operations.answers`.

    Returns
    -------
    str
    """
    question = _state(path)
    found = answers.kept(question, folder)
    if found is None:
        asked = time.time()
        found = sha256_of(path)
        settled = asked - os.stat(path).st_ctime > SETTLED_SECONDS
        if settled and _state(path) == question:
            answers.keep(question, found, folder)
    return found


def without_place(source):
    """What the configuration says of weights, but for where their file is: its content counts."""
    place = ("path", "sha256") if source["source"] == "file" else ()
    return {key: value for key, value in source.items() if key not in place}


def _state(path):
    """What any change of the file changes: the time of its last change of any kind (ctime) can't be set."""
    status = os.stat(path)
    times = status.st_mtime_ns, status.st_ctime_ns
    return ["sha256", os.path.realpath(path), status.st_size, *times, status.st_ino]
