"""Where float64 is slow, sums are multiplied in float32, and the log says so."""

import numpy as np
import pytest
import torch
from tokengeometry.operations import product_rates
from tokengeometry.operations.product_rates import ON_CPU, Products

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def nothing_measured():
    product_rates.chosen.cache_clear()
    yield
    product_rates.chosen.cache_clear()


def pretend(monkeypatch, float32, float64, exact=True):
    """Rates of a device that is not here; returns what was measured."""
    rates, asked = {"float32": float32, "float64": float64}, []

    def rate(device, dtype):
        asked.append((device, dtype))
        return rates[dtype]

    monkeypatch.setattr(product_rates, "rate", rate)
    monkeypatch.setattr(product_rates, "adds_exactly", lambda device: exact)
    return asked


@pytest.mark.parametrize(
    ("float32", "float64", "dtype"),
    [
        (82.6e12, 1.29e12, "float32"),
        (12.7e12, 0.199e12, "float32"),
        (8.01, 1, "float32"),
        (8, 1, "float64"),
        (19.5e12, 9.7e12, "float64"),
        (67e12, 67e12, "float64"),
    ],
)
def test_float32_is_for_devices_on_which_float64_is_more_than_eight_times_slower(float32, float64, dtype):
    assert product_rates.choice(float32, float64) == dtype


def test_a_slow_float64_is_said_and_its_eigenvalues_are_the_cpus(monkeypatch, capsys):
    asked = pretend(monkeypatch, 51.2e12, 0.8e12)
    assert product_rates.chosen(GPU) == Products("float32", "float32")
    assert product_rates.for_eigenvalues(GPU) == "cpu"
    assert capsys.readouterr().out == (
        "cuda:0 multiplies 51.2 TFLOP/s in float32 and 0.8 in float64, a ratio of 64.0: "
        "the scatter in slices of float32, Gram matrices in float32, tokens' eigenvalues on the CPU\n"
    )
    # Once in a process.
    assert asked == [(GPU, "float32"), (GPU, "float64")]


def test_a_fast_float64_is_said_and_used(monkeypatch, capsys):
    pretend(monkeypatch, 19e12, 17e12)
    assert product_rates.chosen(GPU) == Products("float64", "float64")
    assert product_rates.for_eigenvalues(GPU) == GPU
    assert capsys.readouterr().out == (
        "cuda:0 multiplies 19 TFLOP/s in float32 and 17 in float64, a ratio of 1.1: all sums in float64\n"
    )


def test_a_float32_that_is_not_exact_is_never_used(monkeypatch, capsys):
    pretend(monkeypatch, 51.2e12, 0.8e12, exact=False)
    assert product_rates.chosen(GPU) == Products("float64", "float64")
    assert capsys.readouterr().out.endswith(": all sums in float64, since float32 is not exact there\n")


def test_on_the_cpu_nothing_is_measured(monkeypatch, capsys):
    assert not pretend(monkeypatch, 1, 1)
    assert product_rates.chosen("cpu") == ON_CPU == Products(scatter="float64", gram="float32")
    assert product_rates.for_eigenvalues("cpu") == "cpu"
    assert capsys.readouterr().out == ""


def test_a_rate_is_measured_and_both_are_of_the_same_product(monkeypatch):
    monkeypatch.setattr(product_rates, "SHAPE", (2, 64, 96))
    ticks = iter(np.cumsum([0, 9, 0, 4, 0, 2, 0, 3]).tolist())
    monkeypatch.setattr(product_rates.time, "perf_counter", lambda: next(ticks))
    # Without the first, the fastest takes two seconds.
    assert product_rates.rate(torch.device("cpu"), "float64") == 2 * 2 * 64 * 96**2 / 2


def rounded_to(bits):
    """Matrix products of values that are rounded to so many bits, or that are added up in so many."""

    def rounded(values):
        mantissa, exponent = torch.frexp(values)
        return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)

    return rounded


def test_exact_products_are_told_from_those_of_tf32(monkeypatch):
    device = torch.device("cpu")
    assert product_rates.adds_exactly(device)
    multiply, tf32, sums = torch.Tensor.__matmul__, rounded_to(11), rounded_to(23)

    def by_tf32(left, right):
        return multiply(*(tf32(its) if its.dtype == torch.float32 else its for its in (left, right)))

    def by_short_sums(left, right):
        product = multiply(left, right)
        return sums(product) if product.dtype == torch.float32 else product

    for instead in (by_tf32, by_short_sums):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "__matmul__", instead)
            assert not product_rates.adds_exactly(device)


def test_jobs_turn_tf32_off():
    from tokengeometry.operations import devices

    allowed = torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        devices.prepare("cpu", torch.get_num_threads())
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
