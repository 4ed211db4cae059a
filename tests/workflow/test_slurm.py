"""The small study on a real Slurm, started for these tests: jobs that Slurm kills, a controller away, lost runs.

The cluster has no accounting database, nor the commands that ask it.
"""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from slurm.cluster import PATH, Cluster, why_not
from small_study import REPOSITORY, SMALL, Workflow, write_pictures
from tokengeometry.storage import zarr_store
from tokengeometry.tables import read

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "Slurm is here")]

ACCOUNTING = ("sacct", "sacctmgr", "sshare")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slurm"), cpus=2, memory_mb=16000, gpus=2, without=ACCOUNTING) as cluster:
        yield cluster


@pytest.fixture
def study(cluster, tmp_path):
    """The small study, for the cluster: its `start` starts Snakemake. A run that outlives its test is ended."""
    write_pictures(tmp_path / "pictures")
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile"]
        command += ["--profile", REPOSITORY / "slurm", "--workflow-profile", REPOSITORY / "profiles" / "default"]
        command += ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "1", *arguments]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=tmp_path,
                env=cluster.environment | {"OMP_NUM_THREADS": "1", "SBATCH_ACCOUNT": "physics"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    workflow = Workflow(tmp_path, SMALL)
    workflow.start = start
    yield workflow
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def finish(workflow, process):
    """What the run said; it must have succeeded."""
    process.wait(600)
    said = (workflow.directory / "log").read_text()
    assert process.returncode == 0, said
    return said


def first_running(cluster, process, comment):
    """The id of the first running job whose comment has this in it."""
    while process.poll() is None:
        for number, job in cluster.jobs().items():
            if job.state == "RUNNING" and comment in job.comment:
                return number
        time.sleep(0.5)
    raise AssertionError(f"the run ended before a job {comment} was running")


def wait_for(is_there, seconds=60):
    """Return once it is."""
    end = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.1)


def cancel_first(cluster, process, comment):
    """Cancel that job; returns its id."""
    number = first_running(cluster, process, comment)
    cluster.command("scancel", number)
    return number


def test_jobs_that_slurm_kills_are_repeated_and_the_tables_are_those_of_a_local_run(finished, cluster, study):
    # The first attempt gets less memory than any Python needs: Slurm looks once a second, and the job is short.
    too_little = "correlation_table:mem_mb=20 if attempt == 1 else 500*attempt"
    process = study.start("--set-resources", too_little, "--", "alpha", "correlations", "clusters")
    cancelled = cancel_first(cluster, process, "rule_layer_")
    said = finish(study, process)
    jobs = cluster.jobs()
    assert jobs[cancelled].state == "CANCELLED"
    assert f"SLURM-job '{cancelled}' failed, SLURM status is: 'CANCELLED'" in said
    tables = {number: job for number, job in sorted(jobs.items()) if "rule_correlation_table" in job.comment}
    assert [(job.state, job.memory) for job in tables.values()] == [("FAILED", "20M"), ("COMPLETED", "1000M")]
    starved = min(tables)
    (log,) = (study.directory / ".snakemake" / "slurm_logs").rglob(f"{starved}.log")
    assert "exceeded memory limit" in log.read_text()
    assert str(log) in said
    for table in ("alpha.csv", "correlation.csv", "clusters.csv"):
        pd.testing.assert_frame_equal(read(study.branch / table), read(finished.branch / table), rtol=1e-9)
    assert list(study.branch.rglob("*.partial")) == []


def test_the_chain_of_a_part_goes_as_one_job_with_one_gpu_and_is_repeated_when_killed(finished, cluster, study):
    # The cluster says that it has GPUs; where there is none after all, "auto" is the CPU.
    study.configure(SMALL | {"compute": SMALL["compute"] | {"device": "auto"}})
    arguments = ("--groups", "pixels=chain", "layer=chain", "--", "activations")
    process = study.start(*arguments)
    left = first_running(cluster, process, "chain")
    # It stands still, and so does not end by itself.
    cluster.command("scancel", "--full", "--signal=STOP", left)
    # As when the connection is lost: its jobs stay in the queue.
    process.kill()
    process.wait()
    before = cluster.jobs()
    process = study.start(*arguments)
    wait_for(lambda: "end them: " in (study.directory / "log").read_text())
    (advice,) = re.findall("end them: (.*)", (study.directory / "log").read_text())
    assert cluster.jobs()[left].state == "STOPPED"
    cluster.command(*advice.split())
    wait_for(lambda: cluster.jobs()[left].state == "CANCELLED")
    cancelled = cancel_first(cluster, process, "chain")
    process.wait(600)
    if again := process.returncode != 0:
        # A job that was ended has taken with it what this run counted on: the same command goes on.
        assert "missing locally" in (study.directory / "log").read_text()
        process = study.start(*arguments)
    finish(study, process)
    jobs = {number: job for number, job in cluster.jobs().items() if number not in before}
    assert jobs.pop(cancelled).state == "CANCELLED"
    assert {job.state for job in jobs.values()} == {"COMPLETED"}
    assert again or len(jobs) == 2
    assert {(job.gpus, job.account) for job in jobs.values()} == {("gres:gpu:1", "physics")}
    for part in ("part_000", "part_001"):
        made, local = (
            zarr_store.open_store(one.branch / f"activations/layer_02/{part}.zarr")["activations"][:]
            for one in (study, finished)
        )
        np.testing.assert_allclose(made, local, rtol=1e-5, atol=1e-5)


def test_jobs_that_end_with_their_node_or_at_their_time_limit_are_repeated(finished, cluster, study, monkeypatch):
    # Where sacct is there and knows nothing, it is not asked in place of a controller that is away.
    monkeypatch.setitem(cluster.environment, "PATH", os.pathsep.join([str(cluster.folder / "bin"), PATH]))
    limit = "layer:runtime=1 if attempt == 1 else 10"
    store = "results/tiny/pictures/test/activations/layer_01/part_000.zarr"
    process = study.start("--set-resources", limit, "--", store)
    lost = first_running(cluster, process, "rule_pixels_")
    cluster.command("scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=test")
    # Slurm itself puts it back into the queue, to be started two minutes later.
    assert cluster.jobs()[lost].state == "PENDING"
    # A lost node runs nothing: the node comes back once the job's processes have ended, not beside them.
    wait_for(lambda: not cluster.processes(lost))
    cluster.command("scontrol", "update", "NodeName=localhost", "State=RESUME")
    cluster.command("scontrol", "update", f"JobId={lost}", "StartTime=now")
    stopped = first_running(cluster, process, "rule_layer_")
    # Its processes stand still until its time is over, and nobody is there to say so.
    cluster.command("scancel", "--full", "--signal=STOP", stopped)
    with cluster.controller_away():
        time.sleep(90)
    said = finish(study, process)
    jobs = cluster.jobs()
    assert jobs[stopped].state == "TIMEOUT"
    assert f"SLURM-job '{stopped}' failed, SLURM status is: 'TIMEOUT'" in said
    logs = (study.directory / ".snakemake" / "slurm_logs").rglob(f"{lost}.log")
    assert jobs[lost].state == "COMPLETED", [log.read_text() for log in logs]
    made, local = (zarr_store.open_store(one.directory / store)["activations"][:] for one in (study, finished))
    np.testing.assert_allclose(made, local, rtol=1e-5, atol=1e-5)
