"""What a Slurm cluster says of itself, asked before the first job: whether it is there, and what it has.

Light on purpose: the workflow asks before it has planned anything.
"""

import functools
import os
import re
import shutil
import subprocess
from collections import Counter
from typing import NamedTuple

from tokengeometry.errors import StudyError, in_one_line

COMMANDS = ("sbatch", "squeue", "scancel", "sinfo")
# The executor names all jobs of a run alike.
RUN_NAME = re.compile(r"([\w-]+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Partition(NamedTuple):
    """What sinfo says of a partition: whether jobs go there that name none, and whether a node has a GPU."""

    default: bool
    gpus: bool


def require_commands():
    """Raise a StudyError unless this machine is one from which jobs can be submitted."""
    absent = [command for command in COMMANDS if shutil.which(command) is None]
    if absent:
        raise StudyError(
            f"--profile slurm submits jobs to Slurm, and there is no {absent[0]} here; run it on the cluster's "
            "login node with Slurm on the PATH, or on this machine alone: snakemake --cores all"
        )


@functools.cache
def partitions():
    """The cluster's partitions by name; none where there is no Slurm, a StudyError where it does not answer."""
    if shutil.which("sinfo") is None:
        return {}
    found = {}
    # A row for every kind of node that a partition has.
    for row in _ask("sinfo", "--all", "--noheader", "--format=%P|%G").splitlines():
        name, _, resources = row.strip().partition("|")
        default, gpus = name.endswith("*"), any(map(_is_gpu, resources.split(",")))
        name = name.removesuffix("*")
        found[name] = Partition(default, gpus or (name in found and found[name].gpus))
    return found


def offers_gpus():
    """Whether any node of the Slurm cluster has GPUs."""
    return any(partition.gpus for partition in partitions().values())


def jobs_of(folder):
    """How many jobs of this user's the runs in a working directory have in the queue, by the name of the run's jobs."""
    rows = _ask("squeue", f"--user={os.getuid()}", "--noheader", "--format=%j|%Z").splitlines()
    jobs = (row.strip().partition("|") for row in rows)
    return Counter(name for name, _, where in jobs if where == folder and RUN_NAME.fullmatch(name))


def _is_gpu(resource):
    """Of a node's generic resource, as `gpu:a100:4(S:0-1)`."""
    kind, *more = resource.partition("(")[0].split(":")
    return kind == "gpu" and more[-1:] != ["0"]


def _ask(*command):
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"Slurm does not answer {command[0]}; run the same command again once it does") from error
    except subprocess.CalledProcessError as error:
        raise StudyError(
            f"Slurm does not answer: {in_one_line(error.stderr)}; run the same command again once "
            f"{command[0]} shows the cluster"
        ) from error
    return asked.stdout
