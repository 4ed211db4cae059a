"""GPUs are counted as CUDA sees them, and one job at a time has each."""

import copy
import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest
import torch
from small_study import REPOSITORY, SMALL
from test_reduction_runs import SECTION
from tokengeometry.operations import devices, gpu_locks
from tokengeometry.operations.resources import GPU_RULES

# Claims a GPU, says which and when, keeps it for a while.
JOB = """
    import sys, time
    from tokengeometry.operations import gpu_locks
    folder, names, seconds, places = sys.argv[1], sys.argv[2].split(","), float(sys.argv[3]), int(sys.argv[4])
    if places:
        name = names[gpu_locks.share(names, [places] * len(names), folder, pause=0.01)]
    else:
        name = names[gpu_locks.claim(names, folder, pause=0.01)]
    print(name, time.monotonic(), flush=True)
    time.sleep(seconds)
    print(time.monotonic(), flush=True)
"""


def job(folder, names, seconds, places=0):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(JOB), folder, names, str(seconds), str(places)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def two_gpus(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 2),
        ("0,1", 2),
        ("1", 1),
        ("1, 0", 2),
        ("GPU-8a1f,GPU-90c2,GPU-11ee", 3),
        ("MIG-7e9a", 1),
        ("", 0),
        ("-1", 0),
        ("0,-1,1", 1),
        ("0,7", 1),
    ],
)
def test_gpus_are_counted_as_cuda_reads_its_variable(two_gpus, visible, count):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpu_locks.count(environment, two_gpus) == count


def test_a_machine_without_gpus_has_none(tmp_path):
    assert gpu_locks.count({}, tmp_path) == gpu_locks.count({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path) == 0


def test_jobs_beyond_the_gpus_wait_and_no_gpu_ever_has_two(tmp_path):
    # They number the same two GPUs differently, as jobs with other CUDA_VISIBLE_DEVICES do.
    jobs = [job(tmp_path, names, 0.2) for names in ("A,B", "B,A", "A,B", "B", "A", "B,A")]
    spans = {"A": [], "B": []}
    for process in jobs:
        lines = process.communicate(timeout=30)[0].splitlines()
        said = [line for line in lines if not line.startswith("waiting for a GPU")]
        spans[said[0].split()[0]].append((float(said[0].split()[1]), float(said[1])))
    for taken in spans.values():
        assert len(taken) >= 2
        ordered = sorted(taken)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ordered))


def test_a_killed_job_leaves_its_gpu(tmp_path):
    first = job(tmp_path, "A", 60)
    assert first.stdout.readline().startswith("A ")
    second = job(tmp_path, "A", 0)
    assert second.stdout.readline().startswith("waiting for a GPU: other jobs are on A")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.communicate(timeout=30)[0].startswith("A ")


def test_jobs_that_share_a_gpu_are_as_many_as_it_has_places_for_and_none_is_beside_one_that_does_not(tmp_path):
    shared = [job(tmp_path, names, 0.3, 2) for names in ("A,B", "B,A", "A,B", "A", "B", "A,B", "B", "A")]
    alone = [job(tmp_path, names, 0.1) for names in ("A,B", "A", "B")]
    spans = {"A": [], "B": []}
    for process in shared + alone:
        said = process.communicate(timeout=60)[0].splitlines()
        said = [line for line in said if not line.startswith("waiting for a")]
        spans[said[0].split()[0]].append((float(said[0].split()[1]), float(said[1]), process in alone))
    for taken in spans.values():
        for start, _, by_itself in taken:
            beside = [other for other in taken if other[0] <= start < other[1]]
            assert len(beside) <= (1 if by_itself or any(other[2] for other in beside) else 2)
    beside = [[sum(other[0] <= its[0] < other[1] for other in taken) for its in taken] for taken in spans.values()]
    assert max(map(max, beside)) == 2


def test_a_job_that_shares_a_gpu_computes_on_it(tmp_path, monkeypatch):
    gpu = SimpleNamespace(uuid="shared", total_memory=2 * devices.SHARE_BYTES)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    monkeypatch.setattr(gpu_locks.tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"tokengeometry-gpus-{os.getuid()}"
    assert devices.prepare_shared("auto", torch.get_num_threads()) == torch.device("cuda", 0)
    other, third = (job(folder, "shared", 60, 2) for _ in range(2))
    said = sorted(process.stdout.readline().split()[0] for process in (other, third))
    for process in (other, third):
        process.kill()
        process.wait()
    assert said == ["shared", "waiting"]


def test_a_process_that_claims_twice_keeps_its_gpu(tmp_path):
    start = time.monotonic()
    assert gpu_locks.claim(["twice-0", "twice-1"], tmp_path) == gpu_locks.claim(["twice-0", "twice-1"], tmp_path) == 0
    assert time.monotonic() - start < 20


def test_a_job_computes_on_a_gpu_that_no_other_job_is_on(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid-{index}"))
    monkeypatch.setattr(gpu_locks.tempfile, "tempdir", str(tmp_path))
    other = job(tmp_path / f"tokengeometry-gpus-{os.getuid()}", "uuid-0", 60)
    assert other.stdout.readline().startswith("uuid-0")
    threads = torch.get_num_threads()
    try:
        assert devices.prepare("auto", threads) == torch.device("cuda", 1)
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(("device", "gpu"), [("cuda", 1), ("auto", 1), ("cpu", 0), ("mps", 0)])
def test_rules_with_work_for_a_gpu_ask_for_one_of_those_there_are(small_workflow, device, gpu):
    environment = {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}
    seen = set()
    for store in (True, False):
        small_workflow.configure(
            SMALL
            | {"concatenated_samples": 16, "activations": SMALL["activations"] | {"store": store}}
            | {"compute": SMALL["compute"] | {"device": device}, "forward": {"precision": "bfloat16"}}
        )
        for job in small_workflow.run("--dry-run", environment=environment).stdout.split("\nrule ")[1:]:
            # The rules of direct mode have the part and the model behind their name.
            rule = "direct" if job.startswith("direct_") else job.split(":")[0]
            seen.add(rule)
            # Tables and figures ask for nothing of their own.
            (asked,) = re.findall(r"\bgpu=(\d+)", job) or ["0"]
            assert int(asked) == (gpu if rule in GPU_RULES else 0), job
    assert seen >= set(GPU_RULES)


def test_reductions_share_a_gpu_and_are_timed_alone(small_workflow):
    policies = {"policies": ["tome", "tome-searched", "random_prune"], "budgets": [0.5]}
    small_workflow.configure(
        copy.deepcopy(SMALL)
        | {"reduction": SECTION | policies, "compute": SMALL["compute"] | {"device": "cuda", "threads": "auto"}}
    )
    said = small_workflow.run("reduction", "--dry-run", cores=16, environment={"CUDA_VISIBLE_DEVICES": "GPU-a"})
    asked = {}
    for its in said.stdout.split("\nrule ")[1:]:
        rule = its.split(":")[0]
        gpu, threads = (int(*(re.findall(rf"\b{name}(?:=|: )(\d+)", its) or ["0"])) for name in ("gpu", "threads"))
        asked.setdefault(rule, set()).add((gpu, threads))
    assert asked["reduction_speed"] == {(1, 16)}
    for rule in ("whole", "tokens", "schedule", "scores", "table"):
        ((gpu, threads),) = asked[f"reduction_{rule}"]
        assert (gpu, threads <= 2) == (0, True)
