"""Calls side by side in processes of their own, for work that holds Python's lock."""

import functools
import os
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.5


def in_processes(function, calls, processes):
    """What a function gives for each tuple of arguments, in order.

    Parameters
    ----------
    function : callable
        Of a module: a process finds it by its name.
    calls : sequence of tuple
        The arguments of each call.
    processes : int
        How many at a time; 1 calls it here. They end with this process, however it ends.

    Returns
    -------
    list
        Its results. An error in it is raised here.
    """
    if processes == 1:
        return [function(*arguments) for arguments in calls]
    from joblib import Parallel, delayed

    # Small arrays go through the pipe: files that share them would stay where this process is killed.
    parallel = Parallel(n_jobs=min(processes, len(calls)), backend="loky", batch_size=1, max_nbytes=None)
    return parallel(delayed(_call)(os.getpid(), function, arguments) for arguments in calls)


def _call(parent, function, arguments):
    _end_with(parent)
    return function(*arguments)


@functools.cache
def _end_with(parent):
    """End this process once its parent has ended: whoever is killed can't end its helpers itself."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
