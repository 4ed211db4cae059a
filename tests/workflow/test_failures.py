"""A full disk, a missing permission, too little memory: one line that says so, nothing half-made, and a way on."""

import ctypes
import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_study import SMALL, Workflow
from tokengeometry.errors import StudyError, explain, naming
from tokengeometry.operations.logs import log_to
from tokengeometry.storage import zarr_store

ROOT = os.name == "posix" and os.geteuid() == 0
PART = "results/tiny/pictures/test/activations/layer_00/part_000.zarr"
MOMENTS = "results/tiny/pictures/test/moments/layer_01/part_000.zarr"


def errors(process):
    """The lines of a run that a job ended with, without those that the run itself ends with."""
    lines = re.findall(r"^ *(error: .*)$", process.stdout, re.MULTILINE)
    return [line for line in lines if not re.search(r"\. Log: \S+$", line)]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB; the test fills and empties it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and ROOT
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]).returncode:
        pytest.skip("needs root's right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_a_job_in_one_line_and_the_run_goes_on_after_it(finished, tmp_path, small_disk):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    moments = workflow.path("tiny/pictures/test/moments/layer_01")
    shutil.rmtree(moments)
    # The disk of the moments alone is full: 3 MB don't fit into 1. What else lies there is left alone.
    (small_disk / "other").touch()
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    moments.symlink_to(small_disk)
    process = workflow.run(MOMENTS, check=False)
    assert process.returncode != 0
    assert errors(process) == [f"error: {MOMENTS}: no space left on device; make room and run the same command again"]
    assert "Traceback" not in process.stdout
    assert [path.name for path in small_disk.iterdir()] == ["other"]
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    workflow.run(MOMENTS)
    zarr_store.verify(workflow.directory / MOMENTS)


def test_a_log_on_the_full_disk_still_leaves_the_line(tmp_path, small_disk):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom tokengeometry.storage import zarr_store\n"
        "from tokengeometry.operations.logs import log_to\nimport numpy\n"
        "with log_to(sys.argv[1]), zarr_store.create(sys.argv[2]) as store:\n"
        "    open(sys.argv[3], 'wb').write(bytes(2_900_000))\n"
        "    store.write('x', numpy.zeros(1_000_000), ('x',))\n"
    )
    arguments = [small_disk / "log", small_disk / "x.zarr", small_disk / "filler"]
    process = subprocess.run(
        [sys.executable, script, *arguments],
        env=os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.returncode == 1
    said = process.stderr + (small_disk / "log").read_text()
    assert "x.zarr: no space left on device; make room" in said
    assert "Traceback" not in said
    assert not (small_disk / "x.zarr").exists()


def without_rights():
    """Let root's process, before it starts, have no more rights to files than their permissions give."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


PLAIN_USER = {"preexec_fn": without_rights} if ROOT else {}


@pytest.mark.parametrize("what", ["results that cannot be written", "a store that cannot be read"])
def test_a_missing_permission_is_named_and_nothing_is_lost(finished, tmp_path, what):
    folder = finished.copy(tmp_path / "study")
    workflow = Workflow(folder, SMALL)
    source = workflow.branch / "activations/layer_01/part_000.zarr"
    target = workflow.branch / "moments/layer_01"
    shutil.rmtree(target / "part_000.zarr")
    chunks = (path for path in (source / "activations").rglob("0") if path.is_file())
    locked = target if what.startswith("results") else next(chunks)
    mode = locked.stat().st_mode
    locked.chmod(0o500 if locked.is_dir() else 0o000)
    process = workflow.run(MOMENTS, check=False, user=PLAIN_USER)
    locked.chmod(mode)
    assert process.returncode != 0
    assert "Traceback" not in process.stdout
    (line,) = errors(process)
    assert "permission denied; give yourself the permission and run the same command again" in line
    assert str(locked.relative_to(folder)) in line
    assert not (target / "part_000.zarr").exists()
    workflow.run(MOMENTS, user=PLAIN_USER)
    zarr_store.verify(target / "part_000.zarr")


@pytest.mark.parametrize("locked", [".snakemake", ".snakemake/metadata"])
def test_records_that_another_user_keeps_to_himself_are_named(finished, tmp_path, locked):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    folder = workflow.directory / locked
    # As a umask of 027 leaves it to those of one's group.
    folder.chmod(0o750)
    if ROOT:
        os.chown(folder, 54321, -1)
    else:
        folder.chmod(0o550)
    process = workflow.run("--dry-run", check=False, user=PLAIN_USER)
    folder.chmod(0o750)
    assert process.returncode != 0
    assert "Traceback" not in process.stdout
    (line,) = errors(process)
    assert line.startswith(f"error: {locked} is for {'user 54321' if ROOT else folder.owner()} alone to write; run as ")


def test_results_on_a_read_only_disk_are_named(finished, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    results = workflow.path()
    bound = ROOT and not subprocess.run(["mount", "--bind", results, results]).returncode
    if not bound:
        pytest.skip("needs root's right to mount a file system")
    # Those of a job go together.
    for table in ("clusters", "alpha_means", "fit_ranges", "dimensions"):
        (workflow.branch / f"{table}.csv").unlink()
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", results], check=True)
        assert "Nothing to be done" in workflow.run("alpha", "correlations").stdout
        refused = workflow.run("--forcerun", "alpha_table", "--", "alpha", check=False)
        failed = workflow.run("clusters", check=False)
    finally:
        subprocess.run(["umount", results], check=True)
    assert refused.returncode != 0
    assert re.search(r"Write-protected output files .*\n.*alpha.csv", refused.stdout)
    assert failed.returncode != 0
    assert errors(failed) == ["error: results: read-only file system; use a working directory that can be written"]
    assert "Traceback" not in refused.stdout + failed.stdout
    workflow.run()
    assert workflow.planned() == set()


MEMORY = """
import resource, sys
from tokengeometry.operations.logs import log_to
import numpy, torch
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
with log_to(sys.argv[1]):
    {take}
"""


@pytest.mark.parametrize(
    "take", ["numpy.ones(2**33)", "torch.ones(2**33)", "bytearray(2**36)", "torch.ones(2**20, 2**13).double()"]
)
def test_too_little_memory_is_said_in_one_line(tmp_path, take):
    command = [sys.executable, "-c", MEMORY.format(take=take), tmp_path / "log"]
    process = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)})
    assert process.returncode == 1
    said = (tmp_path / "log").read_text()
    assert re.fullmatch(r"error: out of memory( \(.*\))?; give the job more memory, or lower .*\n", said)


def test_too_large_a_file_is_said_in_one_line(tmp_path):
    code = (
        "import resource, signal, sys, numpy\nfrom tokengeometry.storage import zarr_store\n"
        "from tokengeometry.operations.logs import log_to\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))\n"
        "with log_to(sys.argv[1]), zarr_store.create(sys.argv[2]) as store:\n"
        "    store.write('x', numpy.zeros(10**6), ('x',))\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "log", tmp_path / "x.zarr"]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)}).returncode == 1
    assert (tmp_path / "log").read_text() == f"error: {tmp_path}/x.zarr: file too large; {ADVICE_ON_SIZE}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]


def test_a_store_is_not_called_damaged_for_too_many_open_files(tmp_path):
    with zarr_store.create(tmp_path / "x.zarr") as store:
        store.write("x", np.arange(5.0), ("sample",))
    opened = zarr_store.open_store(tmp_path / "x.zarr")
    opened["x"][:]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        errors = [error_of(lambda: opened["x"][:]), error_of(lambda: zarr_store.open_store(tmp_path / "x.zarr"))]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for error in errors:
        assert "too many open files; raise the limit on open files" in explain(error)
    np.testing.assert_array_equal(opened["x"][:], np.arange(5.0))


def error_of(function):
    with pytest.raises(OSError, match="Too many open files") as caught:
        function()
    return caught.value


ADVICE_ON_SIZE = "raise the limit on the size of files (ulimit -f) and run the same command again"


def test_errors_of_the_system_name_the_file_and_others_keep_their_traceback(tmp_path):
    with pytest.raises(OSError, match="alpha.csv") as caught, naming("alpha.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert explain(caught.value) == "alpha.csv: no space left on device; make room and run the same command again"
    with pytest.raises(OSError, match="other.csv"), naming("alpha.csv"):
        raise OSError(errno.EACCES, "Permission denied", "other.csv")
    assert explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "x")) is None
    assert explain(RuntimeError("shapes do not fit")) is None
    assert explain(StudyError("samples: 3 is wrong")) == "samples: 3 is wrong"
    log = tmp_path / "log"
    with pytest.raises(SystemExit), log_to(log):
        raise RuntimeError("a fault of the code")
    assert "Traceback" in log.read_text()
    assert log.read_text().endswith("RuntimeError: a fault of the code\n")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_stops_the_job_that_made_it(tmp_path, dtype, value):
    import torch
    from tokengeometry.activations.on_disk import pixels_of, write_pixels

    images = torch.zeros(5, 3, 4, 4)
    images[3, 1, 2, 3] = value
    model = {"grid": [2, 2], "patch_size": [2, 2], "in_chans": 3, "prefix_tokens": []}
    model |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    path = tmp_path / "part_000.zarr"
    with pytest.raises(StudyError, match=f"^layer 0, sample 13, token 3: an activation is not finite in {dtype}"):
        write_pixels(path, map(pixels_of(model), [images[:2], images[2:]]), model, np.arange(10, 15), dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_activations_beyond_float16_are_not_stored_as_infinite(tmp_path):
    import torch
    from tokengeometry.activations.on_disk import pixels_of, write_pixels

    model = {"grid": [1, 1], "patch_size": [2, 2], "in_chans": 1, "prefix_tokens": [], "mean": [0.5], "std": [0.5]}
    images = torch.full((2, 1, 2, 2), 1e5)
    with pytest.raises(
        StudyError, match="sample 7, token 0: an activation is not finite in float16.*activations.dtype"
    ):
        write_pixels(
            Path(tmp_path) / "x.zarr", map(pixels_of(model), [images]), model, np.array([7, 8]), dtype="float16"
        )
