"""Where a job's words go."""

import contextlib
import sys
import traceback
from pathlib import Path

from tokengeometry.errors import StudyError


@contextlib.contextmanager
def log_to(path):
    """Send what the block prints to a log file; a `StudyError` ends the process with its one line.

    Parameters
    ----------
    path : path

    Raises
    ------
    SystemExit
        With status 1 after any error; the log then ends with it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("w", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            yield
        except StudyError as error:
            # A data loader's worker hands it on with its traceback before it; the message is one line.
            message = str(error).strip().splitlines()[-1].removeprefix(f"{StudyError.__module__}.StudyError: ")
            print(f"error: {message}", file=log)
            sys.exit(1)
        except Exception:
            traceback.print_exc(file=log)
            sys.exit(1)
