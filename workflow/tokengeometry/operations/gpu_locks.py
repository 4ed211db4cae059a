"""GPUs shared out among jobs: how many there are, and one job on each at a time, or some small ones.

Light on purpose: the workflow counts GPUs before it has planned anything.
"""

import contextlib
import os
import tempfile
import time
from pathlib import Path

# This process's locks, held to its end: a lock goes when its process does, however it ends.
_held = {}


def count(environment, devices=Path("/dev")):
    """How many NVIDIA GPUs this machine lets us use.

    Parameters
    ----------
    environment : mapping
        `CUDA_VISIBLE_DEVICES` in it, if it is there, says which; CUDA stops at the first that it does not know.
    devices : path
        Folder of the device files nvidia0, nvidia1, …

    Returns
    -------
    int
    """
    there = sum(file.name.removeprefix("nvidia").isdigit() for file in devices.glob("nvidia*"))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    names = [name.strip() for name in visible.split(",")]
    # A number, or the beginning of the UUID of a GPU or of a MIG instance.
    known = [name.startswith(("GPU-", "MIG-")) or (name.isdigit() and int(name) < there) for name in names]
    return [*known, False].index(False)


def claim(names, folder=None, *, pause=0.5):
    """One of these GPUs for this process alone, waiting until one is free.

    Parameters
    ----------
    names : sequence of str
        What identifies each GPU physically (its UUID), so that two jobs that number them differently agree.
    folder : path, optional
        Where the locks are; by default a folder of this user's among the machine's temporary files.
    pause : float
        Seconds between two looks while all are taken.

    Returns
    -------
    int
        Index into `names`. The claim lasts until this process ends; a second claim is the same GPU.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder or Path(tempfile.gettempdir()) / f"tokengeometry-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if held := [index for index, name in enumerate(names) if name in _held]:
        return held[0]
    said = False
    while True:
        for index, name in enumerate(names):
            lock = FileLock(folder / f"{name}.lock", timeout=0)
            with contextlib.suppress(Timeout):
                lock.acquire()
                _held[name] = lock
                return index
        if not said:
            print(f"waiting for a GPU: other jobs are on {', '.join(names)}")
            said = True
        time.sleep(pause)


def share(names, places, folder=None, *, pause=0.5):
    """A place on one of these GPUs, beside other jobs that share it; otherwise as `claim`.

    A job that claims a GPU waits until none shares it. Nothing is held while something is waited for.

    Parameters
    ----------
    names : sequence of str
    places : sequence of int
        How many jobs each GPU has room for.
    folder, pause
        As of `claim`.

    Returns
    -------
    int
    """
    from filelock import FileLock, Timeout

    folder = _folder(folder)
    if held := [index for index, name in enumerate(names) if name in _held]:
        return held[0]
    said = False
    while True:
        # Evenly over the GPUs.
        for place in range(max(places)):
            for index, name in enumerate(names):
                if place >= places[index]:
                    continue
                with contextlib.suppress(Timeout, BlockingIOError):
                    # A place is this process's before it keeps others from the whole.
                    lock = FileLock(folder / f"{name}.{place}.lock", timeout=0)
                    lock.acquire()
                    _held[name] = lock, _with_others(folder / f"{name}.lock")
                    return index
        if not said:
            print(f"waiting for a place on a GPU: other jobs are on {', '.join(names)}")
            said = True
        time.sleep(pause)


def _folder(folder):
    folder = Path(folder or Path(tempfile.gettempdir()) / f"tokengeometry-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _with_others(path):
    """The file, locked so that others can lock it so too, and none can lock it alone."""
    import fcntl

    file = path.open("a")
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return file
