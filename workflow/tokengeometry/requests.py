"""What a job asks of the machine: threads, memory, disk and time, from the size of its work.

The formulae are those of `tokengeometry.plan`; here each rule's job is measured by them.
"""

import math
from dataclasses import dataclass

from tokengeometry import plan

# What needs the network, and comes before anything is known of the model.
FETCH_RULES = ("model", "dataset")
# What has work for a GPU.
GPU_RULES = ("layer", "direct", "moments", "concatenated", "spectra")
# On a cluster two Snakemakes stand around the script: one in the job, one in its step.
SNAKEMAKE_BYTES = 3 * 10**8
# The host's side of CUDA: its libraries and its context.
CUDA_BYTES = 3 * 2**30
# Below what the slowest of the rules has reached, so that a request is seldom too short.
FLOPS_PER_THREAD = 2e9
FLOPS_PER_GPU = 1e11
FEWEST_MINUTES = 10
# Allocators differ in what they keep.
MEMORY_MARGIN = 1.1
# Work below which a second thread isn't worth asking for.
FLOPS_WORTH_A_THREAD = 1e11
SAMPLES_WORTH_A_WORKER = 250


@dataclass(frozen=True)
class Request:
    """What a job asks for: `memory_mb` and `disk_mb` in 10⁶ bytes, `minutes`."""

    memory_mb: int
    disk_mb: int
    minutes: int


def request(rule, study, model, job, *, threads=1, gpu=False, attempt=1):
    """What a job asks for.

    Parameters
    ----------
    rule : str
        Its name.
    study : tokengeometry.study.Study
    model : dict
        The content of the model's `model.json`; not looked at for `FETCH_RULES` and for rules over all models.
    job : mapping
        The wildcards: dataset, split, layer and part, as far as the rule has them.
    threads : int
        Those that it gets; see `threads_worth`.
    gpu : bool
        Whether it has a GPU.
    attempt : int
        1, 2, …: memory and time grow with it.

    Returns
    -------
    Request
    """
    flops = _flops(rule, study, model, job)
    rate = FLOPS_PER_GPU if gpu else threads * FLOPS_PER_THREAD
    memory = MEMORY_MARGIN * _memory(rule, study, model, job, threads, gpu) + SNAKEMAKE_BYTES + gpu * CUDA_BYTES
    return Request(
        memory_mb=attempt * math.ceil(memory / 1e6),
        disk_mb=math.ceil(_disk(rule, study, model, job) / 1e6),
        minutes=attempt * max(FEWEST_MINUTES, math.ceil(flops / rate / 60)),
    )


def memory_of(memory_mb):
    """The bytes of the job itself within what it asked for."""
    return (memory_mb * 1e6 - SNAKEMAKE_BYTES) / MEMORY_MARGIN


def threads_worth(rule, study, model, job, most):
    """Threads that shorten a job by more than they cost, at most `most`; the rest is as of `request`."""
    if rule == "pixels":
        worth = _samples(study, job) / SAMPLES_WORTH_A_WORKER
    else:
        worth = _flops(rule, study, model, job) / FLOPS_WORTH_A_THREAD
    return max(1, min(most, math.ceil(worth)))


def _samples(study, job):
    start, stop = study.parts(job["dataset"], job["split"])[int(job.get("part", 0))]
    return stop - start


def _joint(study, job):
    """Samples of the concatenated spectrum that a job of direct mode makes: of the first part."""
    return 0 if "part" in job else _concatenated(study, job)


def _shapes(study, model, job):
    return [plan.layer_shape(model, layer) for layer in study.layers(job["model"])]


def _shape(model, job):
    return plan.layer_shape(model, int(job["layer"]))


def _largest(study, model, name):
    """Number of layers that are analysed, and the most tokens and features that any of them has."""
    layers = study.layers(name)
    tokens, features = zip(*(plan.layer_shape(model, layer) for layer in layers), strict=True)
    return len(layers), max(tokens), max(features)


def _memory(rule, study, model, job, threads, gpu):
    batch_size = study.config["compute"]["batch_size"]
    match rule:
        case "model" | "dataset":
            return plan.PROCESS_BYTES
        case "pixels":
            values = model["in_chans"] * math.prod(model["image_size"])
            return plan.pixels_memory(min(batch_size, _samples(study, job)), values, threads)
        case "layer":
            samples, shape = min(batch_size, _samples(study, job)), _shape(model, job)
            at_work = samples if gpu else plan.samples_at_work(samples, threads, *shape)
            return plan.layer_memory(at_work, *shape)
        case "moments":
            return plan.moments_memory(_samples(study, job), *_shape(model, job))
        case "direct":
            samples, joint = _samples(study, job), _joint(study, job)
            return plan.direct_memory(batch_size, samples, joint, _shapes(study, model, job), threads)
        case "concatenated":
            dtype = study.config["activations"]["dtype"]
            return plan.concatenated_memory(_concatenated(study, job), *_shape(model, job), dtype, threads)
        case "spectra":
            return plan.spectra_memory(*_shape(model, job), threads)
        case "correlation_matrix":
            return plan.correlation_memory(*_shape(model, job))
        case "cluster_table":
            return plan.CLUSTERS_BYTES
        case _ if "model" in job:
            return plan.figure_memory(*_largest(study, model, job["model"]))
        case _:
            return plan.LIGHT_PROCESS_BYTES


def _flops(rule, study, model, job):
    match rule:
        case "layer":
            tokens, features = _shape(model, job)
            flops = plan.block_flops(_samples(study, job), tokens, features)
            if int(job["layer"]) == 1:
                flops += plan.embedding_flops(_samples(study, job), *plan.layer_shape(model, 0), features)
            return flops
        case "direct":
            samples, joint, shapes = _samples(study, job), _joint(study, job), _shapes(study, model, job)
            last = max(study.layers(job["model"]))
            memory = plan.direct_memory(study.config["compute"]["batch_size"], samples, joint, shapes)
            _, group = plan.direct_size(memory, study.config["compute"]["batch_size"], samples, joint, shapes)
            passes = -(-len(shapes) // group)
            return passes * plan.chain_flops(model, samples, last) + plan.sums_flops(samples, joint, shapes)
        case "moments":
            return plan.moments_flops(_samples(study, job), *_shape(model, job))
        case "concatenated":
            return plan.concatenated_flops(_concatenated(study, job), *_shape(model, job))
        case "spectra":
            return plan.spectra_flops(*_shape(model, job))
        case "correlation_matrix":
            return plan.correlation_flops(*_shape(model, job))
        case _:
            return 0


def _disk(rule, study, model, job):
    match rule:
        case "pixels" | "layer":
            shape = _shape(model, {"layer": "00", **job})
            return plan.activation_disk(_samples(study, job), *shape, study.config["activations"]["dtype"])
        case "direct":
            return sum(
                plan.moment_disk(*shape)
                + ("part" not in job) * plan.concatenated_disk(_concatenated(study, job), *shape)
                for shape in _shapes(study, model, job)
            )
        case "moments":
            return plan.moment_disk(*_shape(model, job))
        case "concatenated":
            return plan.concatenated_disk(_concatenated(study, job), *_shape(model, job))
        case "spectra":
            return plan.spectra_disk(_concatenated(study, job), *_shape(model, job))
        case "correlation_matrix":
            return plan.correlation_disk(_shape(model, job)[0])
        case _:
            return 0


def _concatenated(study, job):
    return study.concatenated(job["dataset"], job["split"])[0]
