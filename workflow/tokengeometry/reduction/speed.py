"""How fast a reduced model is, and what memory it takes, beside the same model with all its tokens."""

import contextlib
import ctypes
import math
import re
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from tokengeometry.reduction.patching import reduce

PRECISIONS = ("float32", "bfloat16")
# What is timed on a GPU, in passes of a few milliseconds each.
GPU_SECONDS = 0.2


def has_bfloat16(device):
    """Whether the hardware multiplies bfloat16, rather than emulating it.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    bool
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text()
        return device.type == "cpu" and re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None
    return False


def compare(network, images, schedule, *, repeats, **reduction):
    """Time the forward pass of a batch, reduced and whole by turns, and measure the memory of each.

    Parameters
    ----------
    network : timm.models.VisionTransformer
    images : torch.Tensor, (sample, channel, height, width)
        A batch on the model's device, in its precision.
    schedule : sequence of int
    repeats : int
        How many times each is timed, each time after a pass that is not: one pass, or on a GPU as many as take
        `GPU_SECONDS`.
    **reduction
        Of `tokengeometry.reduction.patching.reduce`.

    Returns
    -------
    dict of str to float
        images_per_second, of the reduced model, and whole_images_per_second: medians. speed: how many times as fast the
        reduced one is, the geometric mean over the pairs, with speed_low and speed_high, its 95 % interval by
        Student's t. memory and whole_memory: the most bytes beside what was there before; NaN where unknown.
    """

    def timed(model, passes):
        """Seconds of a pass."""
        with model:
            network.forward_features(images)
            _wait(images.device)
            start = time.perf_counter()
            for _ in range(passes):
                network.forward_features(images)
            _wait(images.device)
            return (time.perf_counter() - start) / passes

    def models():
        return reduce(network, schedule, **reduction), contextlib.nullcontext()

    with torch.inference_mode():
        network.forward_features(images[:1])
        _wait(images.device)
        memories = []
        for model in models():
            with model:
                base = _in_use(images.device)
                memories.append(_peak(lambda: network.forward_features(images), images.device) - base)
        passes = 1
        if images.device.type == "cuda":
            passes = max(1, math.ceil(GPU_SECONDS / timed(contextlib.nullcontext(), 1)))
        seconds = np.array([[timed(model, passes) for model in models()] for _ in range(repeats)])
    ratios = np.log(seconds[:, 1] / seconds[:, 0])
    half = stats.t.ppf(0.975, repeats - 1) * ratios.std(ddof=1) / np.sqrt(repeats) if repeats > 1 else np.nan
    rates = len(images) / np.median(seconds, axis=0)
    return {
        "images_per_second": rates[0],
        "whole_images_per_second": rates[1],
        "speed": np.exp(ratios.mean()),
        "speed_low": np.exp(ratios.mean() - half),
        "speed_high": np.exp(ratios.mean() + half),
        "memory": memories[0],
        "whole_memory": memories[1],
    }


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _in_use(device):
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    # What an earlier pass has left to the allocator would be taken again unseen. Only glibc has this.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _peak(forward, device):
    """The most bytes in use during a forward pass."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        forward()
        _wait(device)
        return torch.cuda.max_memory_allocated(device)
    try:
        # Linux forgets the peak of this process.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return np.nan
    forward()
    return _status("VmHWM")


def _status(field):
    """A field of this process's memory, in bytes; NaN where the system does not say."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return np.nan
    return 1024 * int(found[1]) if found else np.nan
