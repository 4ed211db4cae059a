"""What a job asks of the machine: threads, memory, disk and time, from the size of its work."""

import math
from dataclasses import dataclass

from tokengeometry.operations.cost import jobs

# What has work for a GPU.
GPU_RULES = ("layer", "noise", "direct", "moments", "concatenated", "spectra")
# And of what is not part of all.
REDUCING = ("reduction_whole", "reduction_tokens", "reduction_speed", "reduction_schedule")
# Most of such a job is its start: on a machine of its own GPUs several share one (`devices.prepare_shared`).
SHARING = ("reduction_whole", "reduction_tokens", "reduction_schedule")
SHARERS = 8
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
# In the environment of a job. glibc gives freed memory back to the system and fetches it again, page by page, for every
# batch; and the threads of a process are to share what it holds.
ALLOCATOR = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**32)) | {"MALLOC_ARENA_MAX": "1"}
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
    rule, study, model, job, threads, gpu
        As of `tokengeometry.operations.cost.jobs.of_job`; for threads see `threads_worth`.
    attempt : int
        1, 2, …: memory and time grow with it.

    Returns
    -------
    Request
    """
    its = jobs.of_job(rule, study, model, job, threads, gpu)
    rate = FLOPS_PER_GPU if gpu else threads * FLOPS_PER_THREAD
    memory = MEMORY_MARGIN * its.memory + SNAKEMAKE_BYTES + gpu * CUDA_BYTES
    return Request(
        memory_mb=attempt * math.ceil(memory / 1e6),
        disk_mb=math.ceil(its.disk / 1e6),
        minutes=attempt * max(FEWEST_MINUTES, math.ceil(its.flops / rate / 60)),
    )


def memory_of(memory_mb):
    """The bytes of the job itself within what it asked for."""
    return (memory_mb * 1e6 - SNAKEMAKE_BYTES) / MEMORY_MARGIN


def most_threads(rule, cores, gpus=0):
    """Threads of a job of a rule on so many cores.

    Two jobs side by side use two halves of a machine better than each in turn uses it whole. A job of direct mode has
    no other beside it for most of the time. Those that share a GPU need the CPU for little but their images.
    """
    if gpus and rule in SHARING:
        return max(1, cores // (SHARERS * gpus))
    return max(1, cores // max(1 if rule == "direct" else 2, gpus))


def threads_worth(rule, study, model, job, most):
    """Threads that shorten a job by more than they cost, at most `most`; the rest is as of `request`."""
    if rule == "pixels":
        worth = jobs.samples_of(study, job) / SAMPLES_WORTH_A_WORKER
    else:
        worth = jobs.of_job(rule, study, model, job).flops / FLOPS_WORTH_A_THREAD
    return max(1, min(most, math.ceil(worth)))
