"""Every job of a study with what it makes, reads and costs, and how full the disk gets on the way."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from tokengeometry.operations import work
from tokengeometry.study import BRANCH_FIGURES, PAIR_FIGURES

WHOLE_STUDY = "whole study"
# Of a rule's jobs that belong to one part of a layer, in the order in which they run.
_STAGES = ("pixels", "layer", "noise", "direct", "moments", "concatenated", "spectra", "correlation_matrix")


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    rule : str
    group : str
        Where it is counted: a branch as model/dataset/split, model/dataset for what compares two splits,
        or `WHOLE_STUDY`.
    memory : int
        Peak bytes.
    flops : int
    makes : dict of str to int
        Bytes of its stores by name.
    temporary : bool
        Whether those are deleted when every job that reads them is done.
    reads : tuple of str
        Names of the stores it reads.
    place : tuple of int
        Branch, part and layer.
    """

    rule: str
    group: str
    memory: int
    flops: int
    makes: dict = field(default_factory=dict)
    temporary: bool = False
    reads: tuple = ()
    place: tuple = (-1, 0, 0)


def study_jobs(study, models, threads, direct_threads=None):
    """All jobs of a study.

    Parameters
    ----------
    study : tokengeometry.study.Study
    models : dict of str to dict
        By the model's name in the study, what `tokengeometry.model.token_chain.describe` says of it.
    threads : int
        Of a job.
    direct_threads : int, optional
        Of a job of direct mode; by default the same.

    Returns
    -------
    list of Job
        Part by part, as one machine runs them: a chain goes to its end before the next one begins.
    """
    gpu = study.config["compute"]["device"] == "cuda"

    def measured(rule, group, wildcards, **options):
        its = rule, study, models.get(wildcards.get("model")), wildcards
        its_threads = direct_threads or threads if rule == "direct" else threads
        return Job(rule, group, work.memory(*its, its_threads, gpu), work.flops(*its), **options)

    jobs = [
        measured(
            "model",
            WHOLE_STUDY,
            {"model": name},
            makes={f"{name} weights": work.disk("model", study, model, {"model": name})},
        )
        for name, model in models.items()
    ]
    splits = {(branch.dataset, branch.split) for branch in study.branches}
    jobs += [measured("dataset", WHOLE_STUDY, {"dataset": dataset, "split": split}) for dataset, split in splits]
    for index, branch in enumerate(study.branches):
        wildcards = {"model": branch.model, "dataset": branch.dataset, "split": branch.split}
        group = "/".join(wildcards.values())
        jobs += _store_jobs(study, models[branch.model], partial(measured, group=group), wildcards, index)
        rules = ["correlation_table", "cluster_table", *(f"draw_{figure}" for figure in BRANCH_FIGURES)]
        for table in study.statistics:
            # α has rules of its own.
            name = "alpha" if table == "alpha" else "statistic"
            rules += [f"{name}_table", f"draw_{name}_trajectories", f"draw_{name}_maps"]
        jobs += [measured(rule, group, wildcards) for rule in rules]
    for pair in study.pairs:
        wildcards = {"model": pair.model, "dataset": pair.dataset}
        rules = ["train_test_table", *(f"draw_{figure}" for figure in PAIR_FIGURES)]
        jobs += [measured(rule, "/".join(wildcards.values()), wildcards) for rule in rules]
    return [*jobs, measured("draw_mean_correlation_of_all_branches", WHOLE_STUDY, {})]


def _store_jobs(study, model, measured, branch, index):
    """The jobs of a branch that work on stores."""
    stored = study.config["activations"]["store"]
    temporary = {kind: not study.config[kind]["keep"] for kind in ("activations", "moments")}
    parts = range(len(study.parts(branch["dataset"], branch["split"])))
    _, joint_parts = study.concatenated(branch["dataset"], branch["split"])
    analysed = study.layers(branch["model"])

    def store(kind, layer, part):
        return f"{'/'.join(branch.values())} {kind} {layer} {part}"

    def size(rule, layer, part):
        return work.disk(rule, study, model, branch | {"layer": layer, "part": part})

    def job(rule, kind, layer, part, reads=()):
        return measured(
            rule,
            wildcards=branch | {"layer": layer, "part": part},
            makes={store(kind, layer, part): size(rule, layer, part)},
            temporary=temporary.get(kind, False),
            reads=tuple(reads),
            place=(index, part, layer),
        )

    def direct(part):
        wildcards = branch | ({"part": part} if part else {})
        rules = {layer: work.made_directly(study, wildcards | {"layer": layer}) for layer in analysed}
        return measured(
            "direct",
            wildcards=wildcards,
            makes={store(rule, layer, part): size(rule, layer, part) for layer in analysed for rule in rules[layer]},
            temporary=temporary["moments"],
            place=(index, part, 0),
        )

    jobs = []
    for part in parts:
        if not stored:
            jobs.append(direct(part))
        for layer in [0, *study.chained(branch["model"])]:
            if stored:
                before = [store("activations", layer - 1, part)] if layer else []
                jobs.append(job("layer" if layer else "pixels", "activations", layer, part, before))
            noise = [store("noise", layer, 0)] if layer and study.coarse else []
            if stored and noise and part == 0:
                before = store("noise", layer - 1, 0) if layer > 1 else store("activations", 0, 0)
                jobs.append(job("noise", "noise", layer, part, [before, store("activations", layer, part)]))
            if layer not in analysed:
                continue
            if stored:
                jobs.append(job("moments", "moments", layer, part, [store("activations", layer, part)]))
            if stored and part == joint_parts - 1:
                reads = [store("activations", layer, other) for other in range(joint_parts)]
                jobs.append(job("concatenated", "concatenated", layer, part, reads + noise))
            if part == parts[-1]:
                reads = [store("moments", layer, other) for other in parts]
                jobs.append(job("spectra", "spectra", layer, part, reads + noise))
                jobs.append(job("correlation_matrix", "correlation", layer, part, reads))
    return jobs


def one_at_a_time(jobs):
    """The jobs as waves of one: a list of lists."""
    return [[job] for job in jobs]


def side_by_side(jobs):
    """The jobs as waves, with all parts of all branches abreast, as on a cluster: a list of lists."""

    def wave(job):
        branch, _, layer = job.place
        return (layer, _STAGES.index(job.rule)) if branch >= 0 else (-1, 0)

    return [list(members) for _, members in groupby(sorted(jobs, key=wave), wave)]


@dataclass(frozen=True)
class Disk:
    """Bytes of stores on disk over a run.

    Attributes
    ----------
    peak : int
        The most at one time.
    by_group, by_rule : dict
        The same of a group's stores alone, and of those of a (group, rule).
    left : int
        What stays.
    """

    peak: int
    by_group: dict
    by_rule: dict
    left: int


def disk(waves):
    """How full the disk gets.

    Parameters
    ----------
    waves : list of list of Job
        The jobs of a wave run at once; a wave begins when the one before has ended and temporary stores
        that no other job reads are gone.

    Returns
    -------
    Disk
    """
    waiting = Counter(name for jobs in waves for job in jobs for name in job.reads)
    stores, now, peak = {}, Counter(), Counter()

    def change(job, size):
        for key in ((), (job.group,), (job.group, job.rule)):
            now[key] += size
            peak[key] = max(peak[key], now[key])

    for jobs in waves:
        for job in jobs:
            for name, size in job.makes.items():
                stores[name] = job, size
                change(job, size)
        for name in (name for job in jobs for name in job.reads):
            waiting[name] -= 1
            maker, size = stores[name]
            if maker.temporary and waiting[name] == 0:
                change(maker, -size)
    by_group = {key[0]: size for key, size in peak.items() if len(key) == 1}
    by_rule = {key: size for key, size in peak.items() if len(key) == 2}
    return Disk(peak[()], by_group, by_rule, now[()])


def table(jobs):
    """The plan of a study as text: a table for each branch with a row for each rule, then the totals.

    Parameters
    ----------
    jobs : list of Job
        As of `study_jobs`.

    Returns
    -------
    str
    """
    filled, abreast = disk(one_at_a_time(jobs)), disk(side_by_side(jobs))
    groups = defaultdict(lambda: defaultdict(list))
    for job in sorted(jobs, key=lambda job: _STAGES.index(job.rule) if job.rule in _STAGES else len(_STAGES)):
        groups[job.group][job.rule].append(job)
    lines = []
    for group in dict.fromkeys(job.group for job in jobs):
        lines.append(_row(group, "jobs", "memory/GiB", "disk/GB", "TFLOP"))
        for rule, members in groups[group].items():
            lines.append(_numbers(f"  {rule}", members, filled.by_rule.get((group, rule), 0)))
        members = [job for members in groups[group].values() for job in members]
        lines += [_numbers("  all", members, filled.by_group.get(group, 0)), ""]
    lines += [
        _row("total", "jobs", "memory/GiB", "disk/GB", "TFLOP"),
        _numbers("  one job at a time", jobs, filled.peak),
        _numbers("  all parts side by side", jobs, abreast.peak),
        _numbers("  left at the end", [], filled.left),
        "",
        "memory: the most that one job takes. disk: the most that is there at one time, without the files of the",
        "data sets. TFLOP: 10^12 additions and multiplications of all jobs together.",
    ]
    return "\n".join(lines)


def _numbers(name, jobs, bytes_on_disk):
    memory = max((job.memory for job in jobs), default=0) / 2**30
    flops = sum(job.flops for job in jobs) / 1e12
    return _row(name, *map(_number, (len(jobs), memory, bytes_on_disk / 1e9, flops)))


def _number(value):
    if value == 0:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"


def _row(name, *cells):
    return f"{name:<42}" + "".join(f"{cell:>13}" for cell in cells).rstrip()
