"""Every job of a study with what it makes, reads and costs, and how full the disk gets on the way."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import groupby

from tokengeometry import plan
from tokengeometry.study import BRANCH_FIGURES, PAIR_FIGURES

WHOLE_STUDY = "whole study"
# Of a rule's jobs that belong to one part of a layer, in the order in which they run.
_STAGES = ("pixels", "layer", "direct", "moments", "concatenated", "spectra", "correlation_matrix")


@dataclass(frozen=True)
class Size:
    """What a plan needs to know of a model.

    Attributes
    ----------
    model : dict
        The content of `model.json`, of which the geometry matters.
    parameters : int
        Of the model without classifier.
    matrix_entries : list of int
        Of every block's weight matrices.
    """

    model: dict
    parameters: int
    matrix_entries: list


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
    memory: int = plan.CLUSTERS_BYTES
    flops: int = 0
    makes: dict = field(default_factory=dict)
    temporary: bool = False
    reads: tuple = ()
    place: tuple = (-1, 0, 0)


def study_jobs(study, sizes, threads):
    """All jobs of a study.

    Parameters
    ----------
    study : tokengeometry.study.Study
    sizes : dict of str to Size
        By the model's name in the study.
    threads : int
        Of a job.

    Returns
    -------
    list of Job
        Part by part, as one machine runs them: a chain goes to its end before the next one begins.
    """
    jobs = [
        Job(
            "model",
            WHOLE_STUDY,
            plan.PROCESS_BYTES + 3 * 4 * size.parameters,
            makes={f"{name} weights": 4 * size.parameters},
        )
        for name, size in sizes.items()
    ]
    splits = {(branch.dataset, branch.split) for branch in study.branches}
    jobs += [Job("dataset", WHOLE_STUDY, plan.PROCESS_BYTES) for _ in splits]
    for index, branch in enumerate(study.branches):
        group = f"{branch.model}/{branch.dataset}/{branch.split}"
        jobs += _branch_jobs(study, branch, sizes[branch.model], threads, group, index)
        jobs += [Job(rule, group) for rule in ("alpha_table", "correlation_table", "cluster_table")]
        jobs += [Job(f"draw_{figure}", group) for figure in BRANCH_FIGURES]
    for pair in study.pairs:
        rules = ["train_test_table", *(f"draw_{figure}" for figure in PAIR_FIGURES)]
        jobs += [Job(rule, f"{pair.model}/{pair.dataset}") for rule in rules]
    return [*jobs, Job("draw_mean_correlation_of_all_branches", WHOLE_STUDY)]


def _branch_jobs(study, branch, size, threads, group, index):
    """The jobs of a branch that work on stores."""
    config, batch_size = study.config, study.config["compute"]["batch_size"]
    dtype = config["activations"]["dtype"]
    parts = study.parts(branch.dataset, branch.split)
    joint_samples, joint_parts = study.concatenated(branch.dataset, branch.split)
    analysed = study.layers(branch.model)
    height, width = size.model["image_size"]
    jobs = []

    def store(kind, layer, part):
        return f"{group} {kind} {layer} {part}"

    stored = config["activations"]["store"]
    for part, (start, stop) in enumerate(parts):
        samples = stop - start
        if not stored:
            joint = joint_samples if part == 0 else 0
            jobs.append(_direct_job(study, branch, size, samples, joint, threads, store, (index, part)))
        for layer in [0, *study.chained(branch.model)]:
            tokens, features = plan.layer_shape(size.model, layer)
            common = dict(group=group, place=(index, part, layer))
            chain = dict(
                makes={store("activations", layer, part): plan.activation_disk(samples, tokens, features, dtype)},
                temporary=not config["activations"]["keep"],
            )
            if stored and layer == 0:
                image_values = size.model["in_chans"] * height * width
                memory = plan.pixels_memory(batch_size, image_values, threads)
                jobs.append(Job("pixels", memory=memory, **chain, **common))
            elif stored:
                flops = plan.block_flops(samples, tokens, features, size.matrix_entries[layer - 1])
                if layer == 1:
                    flops += plan.embedding_flops(samples, *plan.layer_shape(size.model, 0), features)
                jobs.append(
                    Job(
                        "layer",
                        memory=plan.layer_memory(batch_size, tokens, features),
                        flops=flops,
                        reads=(store("activations", layer - 1, part),),
                        **chain,
                        **common,
                    )
                )
            if layer not in analysed:
                continue
            if stored:
                jobs.append(
                    Job(
                        "moments",
                        memory=plan.moments_memory(samples, tokens, features),
                        flops=plan.moments_flops(samples, tokens, features),
                        makes={store("moments", layer, part): plan.moment_disk(tokens, features)},
                        temporary=not config["moments"]["keep"],
                        reads=(store("activations", layer, part),),
                        **common,
                    )
                )
            if stored and part == joint_parts - 1:
                jobs.append(
                    Job(
                        "concatenated",
                        memory=plan.concatenated_memory(joint_samples, tokens, features, dtype, threads),
                        flops=plan.concatenated_flops(joint_samples, tokens, features),
                        makes={
                            store("concatenated", layer, ""): plan.concatenated_disk(joint_samples, tokens, features)
                        },
                        reads=tuple(store("activations", layer, other) for other in range(joint_parts)),
                        **common,
                    )
                )
            if part == len(parts) - 1:
                reads = tuple(store("moments", layer, other) for other in range(len(parts)))
                jobs.append(
                    Job(
                        "spectra",
                        memory=plan.spectra_memory(tokens, features, threads),
                        flops=plan.spectra_flops(tokens, features),
                        makes={store("spectra", layer, ""): plan.spectra_disk(joint_samples, tokens, features)},
                        reads=reads,
                        **common,
                    )
                )
                jobs.append(
                    Job(
                        "correlation_matrix",
                        memory=plan.correlation_memory(tokens, features),
                        flops=plan.correlation_flops(tokens, features),
                        makes={store("correlation", layer, ""): plan.correlation_disk(tokens)},
                        reads=reads,
                        **common,
                    )
                )
    return jobs


def _direct_job(study, branch, size, samples, joint, threads, store, place):
    """The job that makes a part's moments without storing activations; with `joint`, also the concatenated spectra."""
    layers = study.layers(branch.model)
    shapes = [plan.layer_shape(size.model, layer) for layer in layers]
    batch_size = study.config["compute"]["batch_size"]
    memory = plan.direct_memory(batch_size, samples, joint, shapes, threads)
    _, group = plan.direct_size(memory, batch_size, samples, joint, shapes, threads)
    forward = plan.chain_flops(size.model, samples, max(layers), size.matrix_entries)
    makes = {
        store("moments", layer, place[1]): plan.moment_disk(*shape) for layer, shape in zip(layers, shapes, strict=True)
    }
    if joint:
        makes |= {
            store("concatenated", layer, ""): plan.concatenated_disk(joint, *shape)
            for layer, shape in zip(layers, shapes, strict=True)
        }
    return Job(
        "direct",
        f"{branch.model}/{branch.dataset}/{branch.split}",
        memory=memory,
        flops=-(-len(layers) // group) * forward + plan.sums_flops(samples, joint, shapes),
        makes=makes,
        temporary=not study.config["moments"]["keep"],
        place=(*place, 0),
    )


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
