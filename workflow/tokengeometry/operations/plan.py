"""What a study takes, as text, from the jobs of its graph; and how full the disk gets on the way."""

import heapq
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest

from tokengeometry.operations.cost.sizes import Cost

WHOLE_STUDY = "whole study"


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    rule : str
    wildcards : dict of str to str
    priority : float
        Of the jobs that are ready, those of the highest go first. Fractions put jobs of one rank in order.
    reads, makes : tuple of str
        Paths.
    temporary : set of str
        Those that it makes and that are deleted when every job that reads them is done.
    cost : tokengeometry.operations.cost.sizes.Cost
        With the sizes of what it makes in the same order.
    """

    rule: str
    wildcards: dict
    priority: float
    reads: tuple
    makes: tuple
    temporary: frozenset
    cost: Cost

    @property
    def group(self):
        """Where it is counted: a branch as model/dataset/split, model/dataset, or `WHOLE_STUDY`."""
        if not {"model", "dataset"} <= self.wildcards.keys():
            return WHOLE_STUDY
        return "/".join(self.wildcards[key] for key in ("model", "dataset", "split") if key in self.wildcards)


@dataclass(frozen=True)
class Disk:
    """Bytes of stores on disk over a run.

    Attributes
    ----------
    peak : Counter
        The most at one time: of all by (), of a group's stores alone by (group,), of a rule's in it by (group, rule).
    left : int
        What stays.
    """

    peak: Counter
    left: int


def waves(jobs, abreast):
    """The jobs in an order in which they can run.

    Parameters
    ----------
    jobs : list of Job
        Of one priority, the first one goes first.
    abreast : bool
        Whether all that are ready and of the highest rank run at once, as on a cluster; or one at a time.

    Yields
    ------
    list of Job
        They begin when those before have ended.
    """
    readers = defaultdict(list)
    missing = Counter()
    made = {path for job in jobs for path in job.makes}
    for index, job in enumerate(jobs):
        for path in made.intersection(job.reads):
            readers[path].append(index)
            missing[index] += 1
    ready = [(-job.priority, index) for index, job in enumerate(jobs) if not missing[index]]
    heapq.heapify(ready)
    while ready:
        wave = [heapq.heappop(ready)]
        while abreast and ready and _rank(ready[0]) == _rank(wave[0]):
            wave.append(heapq.heappop(ready))
        members = [jobs[index] for _, index in wave]
        yield members
        for reader in (reader for job in members for path in job.makes for reader in readers[path]):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, (-jobs[reader].priority, reader))


def _rank(entry):
    """The priority of an entry of the heap, without the order among its equals."""
    return math.ceil(-entry[0])


def disk(jobs, abreast=False):
    """How full the disk gets; the parameters are those of `waves`.

    Returns
    -------
    Disk
    """
    waiting = Counter(path for job in jobs for path in set(job.reads))
    temporary, now, peak = {}, Counter(), Counter()

    def change(job, size):
        for key in ((), (job.group,), (job.group, job.rule)):
            now[key] += size
            peak[key] = max(peak[key], now[key])

    for wave in waves(jobs, abreast):
        for job in wave:
            for path, size in zip_longest(job.makes, job.cost.stores, fillvalue=0):
                change(job, size)
                if path in job.temporary:
                    temporary[path] = job, size
        for path in (path for job in wave for path in set(job.reads)):
            waiting[path] -= 1
            if path in temporary and not waiting[path]:
                maker, size = temporary[path]
                change(maker, -size)
    return Disk(peak, now[()])


def table(jobs):
    """The plan of a study as text: a table for each branch with a row for each rule, then the totals.

    Parameters
    ----------
    jobs : list of Job
        As of `waves`; the rows are in their order.

    Returns
    -------
    str
    """
    filled, abreast = disk(jobs), disk(jobs, abreast=True)
    groups = defaultdict(lambda: defaultdict(list))
    for job in jobs:
        groups[job.group][job.rule].append(job)
    lines = []
    for group, rules in groups.items():
        lines.append(_row(group, "jobs", "memory/GiB", "disk/GB", "TFLOP"))
        lines += [_numbers(f"  {rule}", members, filled.peak[group, rule]) for rule, members in rules.items()]
        lines += [_numbers("  all", [job for members in rules.values() for job in members], filled.peak[group,]), ""]
    lines += [
        _row("total", "jobs", "memory/GiB", "disk/GB", "TFLOP"),
        _numbers("  one job at a time", jobs, filled.peak[()]),
        _numbers("  all parts side by side", jobs, abreast.peak[()]),
        _numbers("  left at the end", [], filled.left),
        "",
        "memory: the most that one job takes. disk: the most that is there at one time, without the files of the",
        "data sets. TFLOP: 10^12 additions and multiplications of all jobs together. Blank: next to nothing.",
    ]
    return "\n".join(lines)


def _numbers(name, jobs, bytes_on_disk):
    memory = max((job.cost.memory for job in jobs), default=0) / 2**30
    flops = sum(job.cost.flops for job in jobs) / 1e12
    return _row(name, *map(_number, (len(jobs), memory, bytes_on_disk / 1e9, flops)))


def _number(value):
    if value == 0:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _row(name, *cells):
    return f"{name:<42}" + "".join(f"{cell:>13}" for cell in cells).rstrip()
