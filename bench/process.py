"""What a command takes: wall time, CPU time and memory, of it and of all its descendants."""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

import psutil

SECONDS_BETWEEN_SAMPLES = 0.25
# The system walks a process's pages to share them out: at most so much of the time goes to that.
SAMPLING_SHARE = 0.05
SHOWN_ON_FAILURE = 4000  # bytes of the output


class CommandError(Exception):
    """A command that failed, with the end of its output."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes
    ----------
    seconds : float
        Wall time from its start to its end.
    cpu_seconds : float
        User and system time of it and of every descendant that was waited for.
    peak_bytes : int
        The most memory that its process tree had at once. A page shared by several processes counts once (the sum
        of their proportional set sizes, sampled).
    output : str
        Its standard output.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def measure(command, *, cwd=None, environment=None):
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str or path
    cwd : path, optional
    environment : mapping, optional
        Variables besides this process's own.

    Returns
    -------
    Cost

    Raises
    ------
    CommandError
        If it does not exit with 0.
    """
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=os.environ | (environment or {}), stdout=output, stderr=errors)
        with _terminated_on_error(process), _peak_of_tree(process.pid) as peak:
            # Unlike Popen.wait, this says what the process and its descendants used.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            ends = "\n".join(filter(None, (_end(output), _end(errors))))
            raise CommandError(f"{' '.join(command)} failed ({process.returncode}):\n{ends}")
        output.seek(0)
        return Cost(seconds, usage.ru_utime + usage.ru_stime, max(peak), output.read().decode(errors="replace"))


@contextlib.contextmanager
def _terminated_on_error(process):
    try:
        yield
    except BaseException:
        process.terminate()
        process.wait()
        raise


@contextlib.contextmanager
def _peak_of_tree(pid):
    """A list that gets the memory of the process tree, sampled until the end of the block."""
    samples, ended = [0], threading.Event()

    def watch():
        pause = SECONDS_BETWEEN_SAMPLES
        while not ended.wait(pause):
            start = time.perf_counter()
            samples.append(_tree_bytes(pid))
            pause = max(SECONDS_BETWEEN_SAMPLES, (time.perf_counter() - start) / SAMPLING_SHARE)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _tree_bytes(pid):
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in tree:
        # It may have ended since.
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def _end(file):
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - SHOWN_ON_FAILURE))
    return file.read().decode(errors="replace").strip()
