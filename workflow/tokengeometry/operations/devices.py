"""Where and how exactly to compute."""

import os

from tokengeometry.errors import StudyError
from tokengeometry.operations import gpu_locks

# Of a GPU's memory, for each of the jobs that share it.
SHARE_BYTES = 10 * 2**30


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
    import torch

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
    return torch.device("cuda", gpu_locks.claim(names))


def prepare_shared(device, threads):
    """As `prepare`, for a small job: at most `SHARE_BYTES` of a GPU, which others of that kind use at the same time."""
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        gpus = list(map(torch.cuda.get_device_properties, range(torch.cuda.device_count())))
        places = [max(1, gpu.total_memory // SHARE_BYTES) for gpu in gpus]
        gpu_locks.share([str(gpu.uuid) for gpu in gpus], places)
    # A second claim is the same GPU.
    return prepare(device, threads)


def for_sums(device, threads, gpu):
    """The device for sums and eigenvalues, which are made in float64: CUDA, or else "cpu" without torch.

    It is CUDA where the device of `prepare` says so, or where the job was given a number of GPUs.
    """
    return prepare(device, threads) if device == "cuda" or gpu else "cpu"


def forward_workers(device, threads):
    """How many pieces of a forward pass to compute side by side; see `tokengeometry.operations.worker_threads`.

    On the CPU it may be twice the job's threads, up to the cores of the run, where the run says so because it has but
    one chain: such pieces give way to other jobs without waiting for each other, and use the cores that those leave.
    """
    if device.type != "cpu":
        return 1
    return max(threads, min(2 * threads, int(os.environ.get("TOKENGEOMETRY_CORES", 0))))
