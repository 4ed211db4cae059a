"""Pieces of a forward pass side by side, each computed by one thread.

Threads that share one operation wait for each other at its end: where the cores are busy with another process too,
one that is held up holds up all. Threads with a piece each only wait when the work is done.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch


def share(batch_size, workers):
    """Share a batch out.

    Parameters
    ----------
    batch_size : int
        The most samples at work at a time.
    workers : int
        At most.

    Returns
    -------
    workers, length : int
        Those to use, and the samples in a piece.
    """
    workers = min(workers, batch_size)
    return workers, batch_size // workers


def in_order(function, pieces, workers):
    """What a function makes of every piece, in order, with the memory of two pieces more than there are workers.

    Parameters
    ----------
    function : callable
        It is called in inference mode; on the CPU, torch has one thread within it, unless there is one worker.
    pieces : iterable
    workers : int
        1 calls it in this thread.

    Yields
    ------
    object
        Its results. An error in it is raised here.
    """

    def call(piece):
        with torch.inference_mode():
            return function(piece)

    if workers == 1:
        yield from map(call, pieces)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    waiting = deque()
    try:
        for piece in pieces:
            waiting.append(pool.submit(call, piece))
            # One more than are at work, for when the first is done while this thread is elsewhere.
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        # A thread's setting is also that of threads to come.
        torch.set_num_threads(threads)
