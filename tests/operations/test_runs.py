"""Of several runs in one folder, exactly those that are known to have ended lose their locks."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest
from small_study import Workflow
from tokengeometry.operations import runs
from tokengeometry.operations.runs import ALIVE, ENDED, UNKNOWN

OTHER_PROGRAM = """
import sys, time
from pathlib import Path
from tokengeometry.operations import runs
print(runs.enter(Path(sys.argv[1]), runs.this_run()), flush=True)
time.sleep(60)
"""


@pytest.fixture
def here():
    return runs.this_run()


@pytest.fixture
def killed(tmp_path):
    """The record of a run that was killed, as it wrote it down itself."""
    with another(tmp_path) as process:
        record = tmp_path / "runs" / process.stdout.readline().strip().rpartition("/")[2]
        process.send_signal(signal.SIGKILL)
    return record


def another(folder):
    return subprocess.Popen(
        [sys.executable, "-c", OTHER_PROGRAM, str(folder)],
        env=os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)},
        stdout=subprocess.PIPE,
        text=True,
    )


def lock(folder, number, kind, *paths):
    """A lock file as Snakemake writes it."""
    file = folder / "locks" / f"{number}.{kind}.lock"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{path}\n" for path in paths))
    return file


def test_a_run_is_seen_to_live_and_to_end(tmp_path, here):
    with another(tmp_path) as process:
        process.stdout.readline()
        (record,) = (tmp_path / "runs").glob("*.json")
        assert runs.state(runs.read(record), here) == ALIVE
        # Stopped, it has not ended.
        process.send_signal(signal.SIGSTOP)
        assert runs.state(runs.read(record), here) == ALIVE
        process.send_signal(signal.SIGKILL)
        # Before this process has taken its end in, it is a zombie.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert runs.state(runs.read(record), here) == ENDED
    assert runs.state(runs.read(record), here) == ENDED


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ALIVE),
        # A later process has its id.
        ({"started": "1"}, ENDED),
        # The same machine, started again since.
        ({"boot": "an earlier one"}, ENDED),
        # Another machine, of whatever name, another installation or container: what its processes are isn't known.
        ({"boot": "another", "host": "login2"}, UNKNOWN),
        ({"boot": "another", "machine": "another"}, UNKNOWN),
        ({"boot": ""}, UNKNOWN),
        ({"namespace": "pid:[1]", "pid": 2**22 - 1}, UNKNOWN),
        # The system doesn't tell when a process started.
        ({"started": ""}, UNKNOWN),
    ],
)
def test_a_run_has_ended_only_where_this_machine_can_prove_it(here, change, expected):
    assert runs.state(dataclasses.replace(here, **change), here) == expected


def test_the_process_of_another_user_lives_though_it_may_not_be_signalled(here, monkeypatch):
    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert runs.state(here, here) == ALIVE
    # Nor, perhaps, be seen among the machine's processes.
    assert runs.state(dataclasses.replace(here, pid=2**22 - 1), here) == UNKNOWN


def test_the_killed_one_of_two_runs_loses_its_locks_and_the_living_one_keeps_its_own(tmp_path, here, killed):
    its_own = lock(tmp_path, 0, "output", "results/a.csv")
    of_killed = [lock(tmp_path, 0, "input", "results/a.csv"), lock(tmp_path, 1, "output", "results/b.csv")]
    runs.add(killed, locks=runs.locks_of(of_killed))
    alive = runs.enter(tmp_path, here)
    runs.add(alive, locks=runs.locks_of([its_own]))
    own = runs.enter(tmp_path, here)
    assert runs.clear(tmp_path, own, here) == (True, [])
    assert list((tmp_path / "locks").iterdir()) == [its_own]
    assert sorted((tmp_path / "runs").iterdir()) == sorted([alive, own])


@pytest.mark.parametrize("written_down", [True, False])
def test_locks_that_a_killed_run_had_not_yet_written_down_go_unless_they_may_be_anothers(
    tmp_path, here, killed, written_down
):
    unknown = lock(tmp_path, 0, "output", "results/b.csv")
    alive = runs.enter(tmp_path, here)
    if written_down:
        runs.add(alive, locks=[])
    cleared, suspects = runs.clear(tmp_path, runs.enter(tmp_path, here), here)
    assert (cleared, unknown.exists(), suspects) == (written_down, not written_down, [])


def test_locks_of_a_run_that_may_live_elsewhere_are_left_and_it_is_named(tmp_path, here, killed):
    elsewhere = dataclasses.replace(here, host="login2", boot="another", pid=77)
    record = runs.enter(tmp_path, elsewhere)
    its_own = lock(tmp_path, 0, "output", "results/a.csv")
    own = runs.enter(tmp_path, here)
    cleared, (suspect,) = runs.clear(tmp_path, own, here)
    assert (cleared, str(suspect)) == (False, "the run on login2 (process 77)")
    runs.add(record, locks=runs.locks_of([its_own]))
    of_killed = lock(tmp_path, 1, "output", "results/b.csv")
    runs.enter(tmp_path, dataclasses.replace(here, started="1", locks=runs.locks_of([of_killed])))
    cleared, suspects = runs.clear(tmp_path, own, here)
    assert (cleared, [str(run) for run in suspects]) == (True, ["the run on login2 (process 77)"])
    assert (its_own.exists(), of_killed.exists()) == (True, False)
    # Unlocked by hand, it is spoken of no more, nor do its locks come back.
    its_own.unlink()
    assert runs.clear(tmp_path, own, here) == (False, [])
    assert list((tmp_path / "locks").iterdir()) == []


def test_locks_of_which_nothing_is_known_are_left(tmp_path, here):
    nobodys = lock(tmp_path, 0, "output", "results/a.csv")
    own = runs.enter(tmp_path, here)
    assert runs.clear(tmp_path, own, here) == (False, [None])
    damaged = tmp_path / "runs" / "0.json"
    damaged.write_text('{"host": ')
    (suspect,) = runs.clear(tmp_path, own, here)[1]
    assert suspect.host == "an unknown machine"
    assert nobodys.exists()
    assert damaged.exists()


def test_locks_of_a_living_run_come_back_after_another_run_has_removed_them_with_its_own(tmp_path, here):
    removed = lock(tmp_path, 0, "output", "results/a.csv")
    alive = runs.enter(tmp_path, dataclasses.replace(here, locks=runs.locks_of([removed])))
    removed.unlink()
    later = lock(tmp_path, 0, "output", "results/b.csv")
    runs.enter(tmp_path, dataclasses.replace(here, locks=runs.locks_of([later])))
    runs.clear(tmp_path, runs.enter(tmp_path, here), here)
    assert later.read_text() == "results/b.csv\n"
    assert (tmp_path / "locks/1.output.lock").read_text() == "results/a.csv\n"
    alive.unlink()
