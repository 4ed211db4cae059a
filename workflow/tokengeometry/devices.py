"""Where and how exactly to compute."""

import torch

from tokengeometry import gpus
from tokengeometry.errors import StudyError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def prepare(device, threads):
    """Set the number of threads and exact float32 products, and choose the device.

    A GPU is this process's alone until it ends: where jobs outnumber GPUs, they wait for one another.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is CUDA where there is one, else the CPU.
    threads : int
        Threads of the CPU's linear algebra.

    Returns
    -------
    torch.device

    Raises
    ------
    StudyError
        If the device that was asked for is not there.
    """
    torch.set_num_threads(threads)
    # TF32 would keep 10 of float32's 23 bits, also in the patch embedding's convolution.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = "cuda" if available["cuda"] else "cpu"
    if not available[device]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise StudyError(f"compute.device is '{device}', which torch does not see here; there is: {there}")
    if device != "cuda":
        return torch.device(device)
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    return torch.device("cuda", gpus.claim(names))


def double_precision(device):
    """The device for float64 work: the same, or the CPU where the device has no float64 (mps)."""
    return torch.device("cpu") if device.type == "mps" else device
