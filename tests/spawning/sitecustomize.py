"""A Python that starts processes anew, as macOS does: on the path of a process, none is a copy of its parent."""

import multiprocessing

multiprocessing.set_start_method("spawn")
