"""How fast a CUDA device multiplies float64, and in what it is to multiply for it.

Data centres' GPUs multiply float64 at half of float32's speed or more, consumer cards at 1/32 or 1/64.
"""

import functools
import time
from dataclasses import dataclass

# The scatter takes four products of float32 in the place of one of float64, and about as long for cutting into slices
# and adding up; see `tokengeometry.geometry.moments_on_gpu`.
TIMES = 8
# Of the products that are timed: tokens, samples, features.
SHAPE = (32, 512, 384)
REPEATS = 3


@dataclass(frozen=True)
class Products:
    """In what sums are multiplied; they are added in float64 everywhere.

    Attributes
    ----------
    scatter : {"float64", "float32"}
        float32 is in exact slices.
    gram : {"float64", "float32"}
        Of the tokens' and of the samples' Gram matrix.
    """

    scatter: str
    gram: str


ON_CPU = Products("float64", "float32")


@functools.cache
def chosen(device):
    """In what sums are multiplied on a device, measured once in a process and said in its log.

    Parameters
    ----------
    device : torch.device or "cpu"
        As `tokengeometry.operations.devices.for_sums` gives it.

    Returns
    -------
    Products
    """
    if str(device) == "cpu":
        return ON_CPU
    fast, slow = (rate(device, dtype) for dtype in ("float32", "float64"))
    exact = adds_exactly(device)
    dtype = choice(fast, slow) if exact else "float64"
    said = {
        "float32": "the scatter in slices of float32, Gram matrices in float32, tokens' eigenvalues on the CPU",
        "float64": "all sums in float64",
    }
    print(
        f"{device} multiplies {fast / 1e12:.3g} TFLOP/s in float32 and {slow / 1e12:.3g} in float64, "
        f"a ratio of {fast / slow:.1f}: {said[dtype]}{'' if exact else ', since float32 is not exact there'}"
    )
    return Products(dtype, dtype)


def choice(float32, float64):
    """The dtype to multiply in.

    Parameters
    ----------
    float32, float64 : float
        Operations a second.

    Returns
    -------
    {"float64", "float32"}
    """
    return "float32" if float32 > TIMES * float64 else "float64"


def for_eigenvalues(device):
    """Where to solve the eigenvalues of many small matrices, in float64.

    Parameters
    ----------
    device : torch.device or "cpu"
        As of `chosen`.

    Returns
    -------
    torch.device or "cpu"
        The CPU, where the device multiplies float64 slowly.
    """
    return "cpu" if chosen(device).scatter == "float32" else device


def rate(device, dtype):
    """Operations a second of the fastest of some products of many matrices.

    Parameters
    ----------
    device : torch.device
    dtype : {"float32", "float64"}

    Returns
    -------
    float
    """
    import torch

    tokens, samples, features = SHAPE
    values = torch.ones(SHAPE, dtype=getattr(torch, dtype), device=device)

    def seconds():
        start = time.perf_counter()
        product = values.transpose(1, 2) @ values
        # Waits for the device.
        float(product[-1, -1, -1])
        return time.perf_counter() - start

    # The first one also loads the library.
    seconds()
    return 2 * tokens * samples * features**2 / min(seconds() for _ in range(REPEATS))


def adds_exactly(device):
    """Whether products of float32 whose sums are whole numbers up to 2²⁴ come out exactly, as they don't by TF32.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    bool
    """
    import torch

    _, samples, features = SHAPE
    random = torch.Generator().manual_seed(0)
    values = torch.randn(features, samples, generator=random)
    # Large in a few samples only: numbers of 12 bits, of which TF32 has 11.
    values[::2, ::128] *= 100
    values = (values * (4080 / values.norm(dim=1, keepdim=True))).round().T[None]
    expected = values.transpose(1, 2).double() @ values.double()
    values = values.to(device)
    return torch.equal((values.transpose(1, 2) @ values).cpu().double(), expected)
