"""A whole Slurm on this machine for as long as a test lasts.

Everything it has (key, configuration, state, sockets, logs) lies in one folder, its ports are free ones, and
its three daemons are children of this process, ended by their process ids. A Slurm that the machine may have
of its own is neither used nor disturbed.

    python tests/slurm/cluster.py snakemake --profile slurm

runs a command in such a cluster.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NODE = "localhost"
# Ends a daemon with this process, also where that is killed before it can.
LEASH = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


class Job(NamedTuple):
    """What squeue says of a job; the comment names its rule."""

    state: str
    comment: str
    memory: str
    account: str
    gpus: str


def why_not():
    """Why no cluster can be made here, in a few words; empty where it can."""
    absent = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
    return f"Slurm is not installed (no {', '.join(absent)})" if absent else ""


class Cluster:
    """A Slurm of one node; a context manager.

    Parameters
    ----------
    folder : path
        Where everything of it goes; made if it is not there.
    cpus : int
        Of the node. Slurm hands them out without binding, so there may be more than the machine has.
    memory_mb : int
        Of the node.
    gpus : int
        That the node says it has; Slurm hands them out, whether they are there or not.
    without : sequence of str
        Commands that are not to be found in the cluster's environment.

    Attributes
    ----------
    environment : dict
        The environment in which Slurm's commands find this cluster.
    """

    def __init__(self, folder, *, cpus=2, memory_mb=16000, gpus=0, without=()):
        self.folder = Path(folder).resolve()
        self.cpus, self.memory_mb, self.gpus, self.without = cpus, memory_mb, gpus, without
        self.daemons = {}
        self.environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(self.folder / "bin"), PATH]),
        }

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # munged trusts no socket below a folder that others may change
        for name in ("bin", "state", "spool"):
            (self.folder / name).mkdir(exist_ok=True)
        self._configure()
        try:
            self._start("munged", "--foreground", "--force", *self._munge_options())
            self._wait_for("munged", lambda: (self.folder / "munge.socket").exists())
            self._start_controller()
            self._start("slurmd", "-D", "-N", NODE, "-f", self.environment["SLURM_CONF"])
            self._wait_for("slurmd", lambda: self.command("sinfo", "-h", "-o", "%T") == "idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            self.command("scancel", "--user", getpass.getuser(), check=False)
        for name in reversed(list(self.daemons)):
            self._stop(name)

    @contextlib.contextmanager
    def controller_away(self):
        """Slurm's controller is stopped, and started again afterwards with what it knew."""
        self._stop("slurmctld")
        try:
            yield
        finally:
            self._start_controller()

    def command(self, *words, check=True):
        """What a command prints, without the last line's end."""
        process = subprocess.run(
            [str(word) for word in words], env=self.environment, text=True, capture_output=True, timeout=60, check=False
        )
        if check and process.returncode:
            raise RuntimeError(f"{words[0]} failed: {process.stderr}")
        return process.stdout.strip()

    def jobs(self):
        """Slurm's jobs by id, the finished ones too."""
        fields = "JobID:|,State:|,Comment:|,MinMemory:|,Account:|,tres-per-job:"
        rows = self.command("squeue", "--noheader", "--states=all", f"--Format={fields}").splitlines()
        return {int(job): Job(*values) for job, *values in (row.split("|") for row in rows)}

    def processes(self, job):
        """The processes of a job that have not ended."""
        return [
            process
            for process in psutil.process_iter(["environ"])
            if (process.info["environ"] or {}).get("SLURM_JOB_ID") == str(job)
        ]

    def _munge_options(self):
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed", "key")}
        files["key"].write_bytes(os.urandom(128))
        files["key"].chmod(0o400)
        return [
            f"--{option}={files[name]}"
            for option, name in (
                ("socket", "socket"),
                ("pid-file", "pid"),
                ("log-file", "log"),
                ("seed-file", "seed"),
                ("key-file", "key"),
            )
        ]

    def _configure(self):
        controller, node = _free_ports(2)
        user = getpass.getuser()
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{NODE}(127.0.0.1)",
            "SlurmUser": user,
            "SlurmdUser": user,
            "SlurmctldPort": controller,
            "SlurmdPort": node,
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.folder / 'munge.socket'}",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool",
            "SlurmctldPidFile": self.folder / "slurmctld.pid",
            "SlurmdPidFile": self.folder / "slurmd.pid",
            "SlurmctldLogFile": self.folder / "slurmctld.log",
            "SlurmdLogFile": self.folder / "slurmd.log",
            # No cgroups: they would need a machine of one's own.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "sched_min_interval=100000,bf_interval=2",
            # A job beyond its memory is killed by the accounting, which looks every second.
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill,UsePss",
            "AccountingStorageType": "accounting_storage/none",
            "MinJobAge": 3000,
            "KillWait": 2,
            # A node that was set down comes back by RESUME alone, and not by itself with the next registration.
            "ReturnToService": 1,
            # Nodes may claim more than they have.
            "SlurmdParameters": "config_overrides",
            "GresTypes": "gpu",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines.append(
            f"NodeName={NODE} NodeAddr=127.0.0.1 NodeHostname={socket.gethostname().split('.')[0]} "
            f"CPUs={self.cpus} RealMemory={self.memory_mb} Gres=gpu:{self.gpus} State=UNKNOWN"
        )
        devices = [self.folder / f"nvidia{number}" for number in range(self.gpus)]
        for device in devices:
            device.touch()
        (self.folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
        lines.append(f"PartitionName=all Nodes={NODE} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO")
        Path(self.environment["SLURM_CONF"]).write_text("\n".join(lines) + "\n")
        # The plugin clears SLURM_… from a step's environment, and with it where the configuration is.
        srun = self.folder / "bin" / "srun"
        real = shutil.which("srun", path=PATH)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.environment["SLURM_CONF"]} exec {real} "$@"\n')
        srun.chmod(0o755)
        places = self.environment["PATH"].split(os.pathsep)
        self.environment["PATH"] = os.pathsep.join(self._without(Path(place)) for place in places)

    def _without(self, place):
        """A folder of commands; where it has one that is not to be found, a folder of links to all others instead."""
        if not any((place / command).exists() for command in self.without):
            return str(place)
        folder = self.folder / f"commands{str(place).replace('/', '-')}"
        folder.mkdir(exist_ok=True)
        for command in place.iterdir():
            if command.name not in self.without and not (folder / command.name).is_symlink():
                (folder / command.name).symlink_to(command)
        return str(folder)

    def _start_controller(self):
        self._start("slurmctld", "-D", "-i", "-f", self.environment["SLURM_CONF"])
        self._wait_for("slurmctld", lambda: "is UP" in self.command("scontrol", "ping", check=False))

    def _stop(self, name):
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _start(self, *words):
        log = (self.folder / f"{words[0]}.out").open("w")
        with log:
            self.daemons[words[0]] = subprocess.Popen(
                [*LEASH, shutil.which(words[0], path=PATH), *words[1:]],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for(self, name, is_there, seconds=60):
        deadline = time.monotonic() + seconds
        while not is_there():
            if self.daemons[name].poll() is not None or time.monotonic() > deadline:
                said = "".join(
                    f.read_text()[-3000:] for f in sorted(self.folder.glob(f"{name}.*")) if f.suffix != ".pid"
                )
                raise RuntimeError(f"{name} did not start:\n{said}")
            time.sleep(0.2)


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"error: {reason}")
    with tempfile.TemporaryDirectory() as place, Cluster(place, cpus=os.cpu_count()) as cluster:
        sys.exit(subprocess.run(sys.argv[1:], env=cluster.environment, check=False).returncode)
