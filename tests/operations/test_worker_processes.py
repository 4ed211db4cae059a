"""Calls in processes of their own: their results and errors, and that no process outlives the one it works for."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from joblib.externals.loky import get_reusable_executor
from small_study import Workflow
from tokengeometry.operations.worker_processes import in_processes


@pytest.fixture(scope="module", autouse=True)
def _ended():
    """What the tests started."""
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_results_come_in_order(processes):
    assert in_processes(pow, [(2, 5), (5, 2), (3, 3)], processes) == [32, 25, 27]


def test_one_process_is_this_one_and_several_are_its_children():
    assert in_processes(os.getpid, [(), ()], 1) == [os.getpid()] * 2
    assert in_processes(os.getppid, [(), ()], 2) == [os.getpid()] * 2


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_raised_here(processes):
    with pytest.raises(ValueError, match="invalid literal"):
        in_processes(int, [("1",), ("x",)], processes)


HOLDING = """
import subprocess
from tokengeometry.operations.worker_processes import in_processes
in_processes(subprocess.run, [(["sleep", "600"],)] * 2, 2)
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_whatever_ends_the_process_its_helpers_end_with_it(kind):
    environment = os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)}
    at_work = []
    with subprocess.Popen([sys.executable, "-c", HOLDING], env=environment) as started:
        deadline = time.monotonic() + 60
        while len(at_work) < 2:
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
            below = psutil.Process(started.pid).children(recursive=True)
            at_work = [process for process in below if process.name() == "sleep"]
        helpers = [process.parent() for process in at_work]
        started.send_signal(kind)
    try:
        _, living = psutil.wait_procs(helpers, timeout=30)
        assert living == []
    finally:
        for process in (*at_work, *helpers):
            if process.is_running():
                process.kill()
