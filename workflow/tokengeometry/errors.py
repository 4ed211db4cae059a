"""Errors that a user can act on, each one line."""

import contextlib
import errno
import re

ADVICE = {
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room and run the same command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and run the same command again",
    errno.EROFS: "use a working directory that can be written",
    errno.EACCES: "give yourself the permission and run the same command again",
    errno.EPERM: "give yourself the permission and run the same command again",
    errno.EIO: "check the disk and run the same command again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.ENFILE: "close other programs' files and run the same command again",
    errno.ENOMEM: "give the job more memory and run the same command again",
    errno.ESTALE: "check the network's file server and run the same command again",
    errno.ETIMEDOUT: "check the network's file server and run the same command again",
}
MEMORY_ADVICE = (
    "give the job more memory, or lower compute.batch_size or compute.threads, and run the same command again"
)


class StudyError(Exception):
    """A condition that the user, not a developer, has to change.

    The message is one line: what is wrong, by its name, and what would be right.
    Jobs and the Snakefile print it alone, without a traceback.
    """


def explain(error):
    """What to tell the user of an error.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str or None
        One line: what is wrong and what would be right. None where it may be a fault of the code.
    """
    if isinstance(error, StudyError):
        # A data loader's worker hands it on with its traceback before it; the message is one line.
        return str(error).strip().splitlines()[-1].removeprefix(f"{StudyError.__module__}.StudyError: ")
    if isinstance(error, OSError) and error.errno in ADVICE:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror.lower()}; {ADVICE[error.errno]}"
    said = " ".join(str(error).split())
    # torch raises RuntimeError for the CPU's memory, and a subclass of it for the GPU's.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _tells_of_memory(said)):
        return f"out of memory{f' ({said})' if said else ''}; {MEMORY_ADVICE}"
    return None


def _tells_of_memory(said):
    return "allocate memory" in said or "out of memory" in said


def in_one_line(error):
    """What an error says, on one line; the name of its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def naming(path):
    """An OSError of the block that names no file, as of a write to a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def of_model(name, message):
    """A message about a model's making, beginning with the configuration's key of that model.

    Parameters
    ----------
    name : str
        The model's in the configuration.
    message : str
        Its key, if it begins with one, is relative to the model: `weights.path: …`.
    """
    relative = re.match(r"(architecture|image_size|weights)(\.\w+)?: ", message)
    return f"models.{name}{'.' if relative else ': '}{message}"
