"""A run that is killed anywhere is finished by the same command, to the same bytes."""

import copy
import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from small_study import SMALL, Workflow, write_pictures
from tokengeometry.operations import runs

KILLS = 20
LOCKS_SAID = "The last run here was killed: its locks are removed"


def study(**changes):
    """A study of one full part and two layers."""
    config = copy.deepcopy(SMALL) | {"samples": 16, "concatenated_samples": 16} | changes
    config["models"]["tiny"]["layers"] = [0, 1]
    config["fit"]["ranks"] = [2, 12]
    return config


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    write_pictures(directory / "pictures")
    workflow = Workflow(directory, study())
    workflow.run()
    return workflow


def artifacts(workflow):
    """The bytes of every file under results/ but logs and times."""
    folder = workflow.path()
    files = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    left_out = {".lock", ".snakemake_timestamp"}
    return {
        str(name): file.read_bytes()
        for name, file in files.items()
        if name.parts[0] not in ("logs", "benchmarks") and name.name not in left_out
    }


def start(workflow):
    """Start snakemake in a process group of its own."""
    return subprocess.Popen(
        workflow.command(),
        cwd=workflow.directory,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run_and_kill(workflow, seconds, *, jobs=True):
    """Kill the whole process group so long after its start, or after it chose its first jobs.

    Returns what it said, and whether it was still running.
    """
    process, said = start(workflow), []
    while jobs and (line := process.stdout.readline()):
        said.append(line)
        if "Select jobs to execute" in line:
            break
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    said.extend(process.stdout)
    process.wait()
    return "".join(said), running


@pytest.mark.slow
def test_a_study_killed_at_random_moments_is_the_uninterrupted_one(uninterrupted, tmp_path):
    write_pictures(tmp_path / "pictures")
    workflow = Workflow(tmp_path, study())
    rng = random.Random(0)
    killed = told = 0
    while killed < KILLS:
        # Between the kills the study changes, and changes back: what is outdated must not survive.
        workflow.configure(study(seed=rng.choice([3, 3, 4])))
        said, running = run_and_kill(workflow, rng.uniform(0, 6), jobs=rng.random() < 0.8)
        killed += running
        told += LOCKS_SAID in said
        assert "LockException" not in said
        assert "Traceback" not in said
    assert told >= KILLS / 2
    workflow.configure(study())
    workflow.run()
    assert workflow.planned() == set()
    found, expected = artifacts(workflow), artifacts(uninterrupted)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def test_a_full_part_is_left_alone_when_the_samples_grow(uninterrupted):
    try:
        uninterrupted.configure(study(samples=30))
        planned = uninterrupted.planned()
    finally:
        uninterrupted.configure(study())
    chained = {(rule, dict(wildcards)["part"]) for rule, wildcards in planned if "part" in dict(wildcards)}
    assert chained == {("pixels", "001"), ("layer", "001"), ("moments", "001")}
    # concatenated_samples stays 16: its spectrum is of the first part alone.
    assert {rule for rule, _ in planned if not rule.startswith(("draw", "explorer"))} == {
        *("pixels", "layer", "moments", "spectra", "correlation_matrix"),
        *("alpha_table", "alpha_means_table", "statistic_table", "correlation_table", "cluster_table", "claims_table"),
    }


def test_what_a_change_outdated_is_rebuilt_though_it_was_interrupted(uninterrupted, tmp_path):
    workflow = Workflow(uninterrupted.copy(tmp_path / "study"), study(seed=5))
    everything = workflow.planned()
    # As if killed after the pixels: all that the seed outdates but the pixels is still to be made.
    workflow.run("results/tiny/pictures/test/activations/layer_00/part_000.zarr")
    assert everything - workflow.planned() == {
        ("pixels", (("dataset", "pictures"), ("model", "tiny"), ("part", "000"), ("split", "test")))
    }
    # And changed back: the pixels too.
    workflow.configure(study())
    assert workflow.planned() == everything


def test_a_store_that_a_killed_job_deleted_is_made_again_though_what_followed_is_there(uninterrupted, tmp_path):
    workflow = Workflow(uninterrupted.copy(tmp_path / "study"), study(seed=5))
    store = workflow.branch / "activations/layer_00/part_000.zarr"
    process = start(workflow)
    while store.exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    workflow.configure(study())
    assert "pixels" in {rule for rule, _ in workflow.planned()}


def test_a_living_run_keeps_its_locks_and_one_of_another_machine_what_may_be_its_own(uninterrupted, tmp_path):
    workflow = Workflow(uninterrupted.copy(tmp_path / "study"), study())
    folder = workflow.directory / ".snakemake"
    (folder / "locks").mkdir(exist_ok=True)
    lock = folder / "locks/0.output.lock"
    lock.write_text("results/tiny/pictures/test/alpha.csv\n")
    (workflow.branch / "alpha.csv").unlink()
    here = runs.this_run()
    record = runs.enter(folder, here)
    for said in ([], ["login2", "snakemake --unlock"]):
        process = workflow.run("alpha", check=False)
        assert process.returncode != 0
        assert "locked" in process.stdout
        lines = [line for line in process.stdout.splitlines() if line.startswith("Locks are left here by ")]
        assert len(lines) == bool(said)
        assert all(word in lines[0] for word in said)
        assert lock.exists()
        runs.write(record, dataclasses.replace(here, host="login2", boot="another", locks=runs.locks_of([lock])))
    # What the line advises helps.
    workflow.run("--unlock")
    assert not lock.exists()
    workflow.run("alpha")
    assert (workflow.branch / "alpha.csv").exists()
    assert list((folder / "runs").iterdir()) == [record]


WRITER = """
import sys, time
from tokengeometry.operations.logs import log_to
with log_to(sys.argv[1]):
    print("begin", sys.argv[2])
    sys.stdin.read()
    print("end", sys.argv[2])
"""


def test_a_job_waits_for_one_that_outlived_its_run(tmp_path):
    log = tmp_path / "log"

    def begin(name, goes_on):
        """A process that has the log until its standard input ends."""
        command = [sys.executable, "-c", WRITER, str(log), name]
        environment = os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)}
        return subprocess.Popen(command, env=environment, stdin=goes_on, stderr=subprocess.PIPE, text=True)

    with begin("first", subprocess.PIPE) as first:
        while not (log.exists() and "begin first" in log.read_text()):
            assert first.poll() is None
            time.sleep(0.05)
        with begin("second", subprocess.DEVNULL) as second:
            said = second.stderr.readline()
            assert log.read_text() == "begin first\n"
            first.communicate()
            said += second.communicate()[1]
    assert re.fullmatch(r"waiting for another process that still writes .*/log\n", said)
    assert log.read_text() == "begin second\nend second\n"
