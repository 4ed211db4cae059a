"""Where a job's words go."""

import contextlib
import fcntl
import os
import sys
import traceback
from pathlib import Path

from tokengeometry.errors import explain


@contextlib.contextmanager
def log_to(path):
    """Send what the block prints to a log file; an error that the user can act on is one line there.

    While another process holds the log, as a job may that outlived its run, this one waits for its end:
    both would write the same files. After any error the log ends with it, and the process with status 1.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name may hold what is no text.
        log = path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        sys.exit(f"error: {explain(error) or error}")
    try:
        _hold(log)
        log.truncate(0)
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
        log.close()
    except Exception as error:
        said = explain(error)
        _write(log, f"error: {said}\n" if said else traceback.format_exc())
        sys.exit(1)


def _hold(log):
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process that still writes {log.name}", file=sys.stderr)
        fcntl.flock(log, fcntl.LOCK_EX)
    except OSError:
        # Some file systems know no locks.
        return


def _is_within_line(log):
    """Whether the log ends with a line that is not at its end, such as a progress bar's."""
    log.flush()
    with open(log.name, "rb") as written:
        written.seek(max(0, written.seek(0, os.SEEK_END) - 1))
        return written.read(1) not in (b"", b"\n")


def _write(log, words):
    """Write the last words to the log, or where its disk is full to where the log's words don't go."""
    try:
        log.write("\n" * _is_within_line(log) + words)
        log.close()
    except OSError:
        print(words, end="", file=sys.stderr)
        with contextlib.suppress(OSError):
            log.close()
