"""Pieces of a computation side by side, each computed by one thread.

Threads that share one operation wait for each other at its end: where the cores are busy with another process too,
one that is held up holds up all. Threads with a piece each only wait when the work is done.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

from tokengeometry.storage.chunk_sizes import TOKENS_BYTES, batch_rows


def share(batch_size, workers, device, tokens, features):
    """Share a batch of a forward pass out.

    Parameters
    ----------
    batch_size : int
        The most samples at work at a time.
    workers : int
        At most.
    device : torch.device
        The CPU takes pieces of a few megabytes.
    tokens, features : int

    Returns
    -------
    workers, length : int
        Those to use, and the samples in a piece.
    """
    workers = min(workers, batch_size)
    length = batch_size // workers
    if device.type == "cpu":
        length = min(length, batch_rows(tokens, features, batch_bytes=TOKENS_BYTES))
    return workers, length


def in_order(function, pieces, workers, *, beside=False, **pool_options):
    """What a function makes of every piece, in order, with the memory of two pieces more than there are workers.

    Parameters
    ----------
    function : callable
    pieces : iterable
    workers : int
        1 calls it in this thread, unless `beside`.
    beside : bool
        Whether one worker too is another thread, for a caller that has work of its own between the results.
    **pool_options
        Of `concurrent.futures.ThreadPoolExecutor`.

    Yields
    ------
    object
        Its results. An error in it is raised here.
    """
    if workers == 1 and not beside:
        yield from map(function, pieces)
        return
    pool = ThreadPoolExecutor(workers, **pool_options)
    waiting = deque()
    try:
        for piece in pieces:
            waiting.append(pool.submit(function, piece))
            # One more than are at work, for when the first is done while this thread is elsewhere.
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def inferred(function, pieces, workers, *, beside=False):
    """`in_order` for a function of torch's.

    It is called in inference mode; on the CPU, torch has one thread within it, unless it is called in this thread.
    """
    import torch

    def call(piece):
        with torch.inference_mode():
            return function(piece)

    threads = torch.get_num_threads()
    try:
        options = {"initializer": torch.set_num_threads, "initargs": (1,)}
        yield from in_order(call, pieces, workers, beside=beside, **options)
    finally:
        # A thread's setting is also that of threads to come.
        torch.set_num_threads(threads)
