"""Fingerprints of scripts, found again only where a file of the code has changed."""

import functools
import hashlib
import platform
from pathlib import Path

from tokengeometry.operations import answers
from tokengeometry.operations.fingerprint import BESIDE, PACKAGE, fingerprint


def known_fingerprint(script, package=PACKAGE, folder=answers.FOLDER):
    """`fingerprint`, or what it was when each file of the package and the script were the same, byte by byte.

    Parameters
    ----------
    script, package : path
        As of `fingerprint`. The package's files are read once in a process.
    folder : path
        Where it is kept; see `tokengeometry.operations.answers`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    script, package = Path(script), Path(package)
    question, times, state, found = _kept(package, Path(folder))
    name = f"{script.name} {_sha256(script.read_bytes())}"
    if name not in found:
        found[name] = fingerprint(script, package)
        # Not where a file was written after it had been read for the state.
        if all(file.is_file() and file.stat().st_mtime_ns == written for file, written in times.items()):
            answers.keep(question, {"state": state, "found": found}, folder)
    return found[name]


@functools.cache
def _kept(package, folder):
    """The question, when files were written, the state of the package, and what is known of that state."""
    question = ["fingerprints", str(package.absolute())]
    files = (file for file in sorted(package.rglob("*")) if file.suffix in (".py", *BESIDE) and file.is_file())
    times = {file: file.stat().st_mtime_ns for file in files}
    # Another version of Python may parse the same file into another tree.
    lines = [
        platform.python_version(),
        *(f"{file.relative_to(package)} {_sha256(file.read_bytes())}" for file in times),
    ]
    state = _sha256("\n".join(lines).encode())
    kept = answers.kept(question, folder) or {"state": None}
    return question, times, state, kept["found"] if kept["state"] == state else {}


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
