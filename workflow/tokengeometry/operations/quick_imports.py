"""Imports that take less time."""

import contextlib
import gc


@contextlib.contextmanager
def quick_imports():
    """Import in the block without Python's collector of cycles.

    Modules stay until the process ends. The collector would go through them again and again: as they are made, while
    the process works, and at its end. So it waits until the block's end, and leaves alone what was made until then.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
