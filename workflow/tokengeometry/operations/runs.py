"""The runs at work in one folder: which are known to have ended, and which of Snakemake's locks are whose.

A lock of the file system answers for one machine alone: on a network's it may be free though the run that holds it
lives on another. So every run writes down who it is, and only what the same machine can prove ends a run.
"""

import contextlib
import json
import os
import socket
import subprocess
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ALIVE, ENDED, UNKNOWN = "alive", "ended", "unknown"


@dataclass(frozen=True)
class Run:
    """What a run writes down of itself.

    Attributes
    ----------
    host, machine, boot, namespace : str
        The machine's name and installation, its present start, and the space in which its process ids count.
    pid : int
    started : str
        When the process did, for a later one has its id again; empty where the system doesn't tell.
    locks : list of [kind, content], or None
        The files of Snakemake's that lock its inputs and outputs; None until it has them.
    jobs : str or None
        The name that all its jobs have in a cluster's queue.
    """

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    locks: list | None = None
    jobs: str | None = None

    def __str__(self):
        return f"the run on {self.host} (process {self.pid})"

    def owns(self, lock):
        return self.locks is not None and lock in self.locks


def this_run():
    """The run that this process is, before it has locks or jobs."""
    _, started = _process(os.getpid())
    machine, namespace = Path("/etc/machine-id"), Path("/proc/self/ns/pid")
    return Run(
        host=socket.gethostname(),
        machine=machine.read_text().strip() if machine.exists() else "",
        boot=_boot(),
        namespace=os.readlink(namespace) if namespace.exists() else "",
        pid=os.getpid(),
        started=started,
    )


def state(run, here):
    """Whether a run is ALIVE or has ENDED as far as the machine of the run `here` can prove it, else UNKNOWN."""
    if run.boot != here.boot:
        rebooted = (run.host, run.machine) == (here.host, here.machine) and "" not in (run.boot, here.boot)
        return ENDED if rebooted else UNKNOWN
    if not run.boot or run.namespace != here.namespace:
        return UNKNOWN
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return ENDED
    except PermissionError:
        pass  # It is there, and another user's.
    status, started = _process(run.pid)
    if not run.started or not started:
        return UNKNOWN
    return ALIVE if started == run.started and status not in ("Z", "X") else ENDED


def write(record, run):
    """Write a run's record, whole or not at all."""
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(run)))
    partial.replace(record)


def enter(folder, run):
    """Write down in Snakemake's folder that a run is at work; returns its record, to be deleted at its end."""
    record = folder / "runs" / f"{uuid.uuid4().hex}.json"
    write(record, run)
    return record


def add(record, **known):
    """Add to a run's record what it knows by now: its locks, its jobs."""
    write(record, replace(read(record), **known))


def read(record):
    """The run of a record; of one that says nothing, a run of which nothing is known."""
    try:
        return Run(**json.loads(record.read_text()))
    except (ValueError, TypeError):
        return Run(host="an unknown machine", machine="", boot="", namespace="", pid=0, started="")


def others(folder, own):
    """The other runs of a folder, by their records."""
    found = {}
    for record in sorted((folder / "runs").glob("*.json")):
        if record != own:
            # It may have just ended.
            with contextlib.suppress(FileNotFoundError):
                found[record] = read(record)
    return found


def locks_of(paths):
    """Snakemake's lock files as a run writes them down: [kind, content], the kind being `input` or `output`."""
    return [[path.name.split(".")[1], path.read_text()] for path in paths]


def clear(folder, own, here):
    """Remove the locks and the records of runs that are known to have ended, and nobody else's.

    Snakemake removes the locks of all runs when one of them ends; those of a run that is known to live are put back.

    Parameters
    ----------
    folder : path
        Snakemake's.
    own : path
        The record of this run.
    here : Run
        This run.

    Returns
    -------
    bool
        Whether there were locks of an ended run.
    list of (Run or None)
        Whose locks remain though they may not live; None stands for locks of which nothing is known.
    """
    # Before the records: whoever has locks has written a record.
    locks = _locks(folder)
    runs = others(folder, own)
    states = {record: state(run, here) for record, run in runs.items()}
    alive, ended, left = (
        [runs[record] for record in runs if states[record] in chosen] for chosen in ([ALIVE], [ENDED], [ALIVE, UNKNOWN])
    )
    # A run has its locks for a moment before it writes them down. Those that nobody has written down are of a run
    # that has ended, where every other has written down its own.
    all_known = bool(ended) and all(run.locks is not None for run in left)
    stale = [
        path
        for path, lock in locks.items()
        if not any(run.owns(lock) for run in left) and (all_known or any(run.owns(lock) for run in ended))
    ]
    for path in stale:
        path.unlink(missing_ok=True)
    for record in runs:
        if states[record] == ENDED:
            record.unlink(missing_ok=True)
    remaining = [lock for path, lock in locks.items() if path not in stale]
    for run in alive:
        for lock in run.locks or []:
            if lock not in remaining:
                _lock(folder / "locks", *lock)
    suspects = []
    for lock in remaining:
        owners = [run for run in left if run.owns(lock)] or [run for run in left if run.locks is None] or [None]
        suspects += [run for run in owners if run not in alive + suspects]
    return bool(stale), suspects


def _locks(folder):
    found = {}
    for path in sorted((folder / "locks").glob("*.lock")):
        with contextlib.suppress(FileNotFoundError):
            found[path] = locks_of([path])[0]
    return found


def _lock(folder, kind, content):
    folder.mkdir(exist_ok=True)
    number = 0
    while (path := folder / f"{number}.{kind}.lock").exists():
        number += 1
    path.write_text(content)


def _boot():
    """What names this machine's present start, and no other of any machine."""
    file = Path("/proc/sys/kernel/random/boot_id")
    if file.exists():
        return file.read_text().strip()
    asked = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _process(pid):
    """A process's state and the time of its start, as Linux writes them; empty where it doesn't."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return "", ""
    return fields[0], fields[19]
