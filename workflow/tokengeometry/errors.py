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


# Between what a data loader says of an error in one of its processes and that process's own traceback.
_IN_WORKER = "\nOriginal Traceback (most recent call last):\n"


class StudyError(Exception):
    """A condition that the user, not a developer, has to change.

    The message is one line, whatever the names in it: what is wrong, by its name, and what would be right.
    Jobs and the Snakefile print it alone, without a traceback.
    """

    def __init__(self, message):
        if _IN_WORKER in message:
            # The traceback ends with the message.
            message = message.strip().splitlines()[-1].removeprefix(f"{__name__}.StudyError: ")
        super().__init__(printable(message))


def printable(text):
    """A text, such as a file's name, on one line that any terminal and log takes.

    Line breaks, control characters and bytes that are no text are escaped as Python and shells write them;
    a backslash stays as it is.

    Parameters
    ----------
    text : str or path

    Returns
    -------
    str
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character):
    if "\udc80" <= character <= "\udcff":
        # What Python makes of a name's byte that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


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
        return str(error)
    if isinstance(error, OSError) and error.errno in ADVICE:
        name = f"{printable(error.filename)}: " if error.filename else ""
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
