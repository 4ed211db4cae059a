"""The small study, run once by Snakemake itself, for the tests that look at what it made."""

import os
import shutil

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from small_study import OFFLINE, SMALL, Workflow, write_pictures

# Fixtures of several folders.
pytest_plugins = ["browser", "published_files"]

# However slow the machine; where CI is set, with the same examples every time, as hypothesis has it.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

# The files that take longest. `make test` runs two files side by side, and none of these is to be left over.
LONGEST = ("test_slurm.py", "test_resumption.py", "test_train_test.py", "test_bench.py")


def pytest_collection_modifyitems(items):
    order = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture
def small_workflow(tmp_path):
    """The small study, not yet run."""
    write_pictures(tmp_path / "pictures")
    return Workflow(tmp_path, SMALL)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The small study after one run, without network once all is fetched. Tests that change anything take a copy."""
    folder = tmp_path_factory.getbasetemp()
    shared = "PYTEST_XDIST_WORKER" in os.environ
    if shared:
        # That of all workers: the first one runs the study for the others.
        folder = folder.parent
    original, log = folder / "study", folder / "study.log"
    with FileLock(folder / "study.lock"):
        if not log.exists():
            shutil.rmtree(original, ignore_errors=True)
            write_pictures(original / "pictures")
            workflow = Workflow(original, SMALL)
            workflow.run("fetch")
            log.write_text(workflow.run(environment=OFFLINE).stdout)
    workflow = Workflow(original, SMALL)
    if shared:
        # Their dry runs would meet in one folder.
        workflow = Workflow(workflow.copy(tmp_path_factory.mktemp("own") / "study"), SMALL)
    workflow.log = log.read_text()
    return workflow


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors on busy cores: threads that wait for each other took ten times as long."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
