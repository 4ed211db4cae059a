"""The sums that a CUDA device makes, by torch on the CPU: in float64, and in float32 where float64 is slow."""

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from tokengeometry.errors import StudyError
from tokengeometry.geometry import concatenated, moments, moments_on_gpu
from tokengeometry.geometry.noise_floor import product_floor
from tokengeometry.geometry.statistics.power_law import fit_power_law

pytestmark = pytest.mark.usefixtures("one_thread")


# By its name it is none that numpy computes on.
BY_TORCH = torch.device("cpu", 0)


def on_gpu(activations, products, batch=17):
    """Moments as a CUDA device makes them."""
    pieces = torch.as_tensor(activations).split(batch)
    return moments.accumulate(pieces, device=BY_TORCH, products=products)


def some(samples=90, tokens=7, features=12, dtype=np.float32):
    """Correlated tokens with a large mean, (sample, token, feature)."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(samples, 1, features)) + rng.normal(size=(samples, tokens, features))
    return (values * np.arange(1, features + 1) ** -0.8 + 30 * rng.normal(size=(tokens, features))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("products", ["float64", "float32"])
@pytest.mark.parametrize(("batch", "block", "piece"), [(17, 512, 2**25), (90, 32, 2**12), (1, 1, 1)])
def test_moments_equal_numpys_on_the_whole(monkeypatch, dtype, products, batch, block, piece):
    monkeypatch.setattr(moments_on_gpu, "BLOCK_SAMPLES", block)
    monkeypatch.setattr(moments_on_gpu, "TOKENS_BYTES", piece)
    activations = some(dtype=dtype)
    found, whole = on_gpu(activations, products, batch), activations.astype(np.float64)
    centred = whole - whole.mean(axis=0)
    averaged = centred.mean(axis=1)
    size = np.square(centred).sum(axis=(0, 2))
    assert found.count == 90
    np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-12)
    # In float32, a centred value is rounded once.
    rtol = 1e-12 if products == "float64" else 2.0**-24
    expected = np.einsum("nti,ntj->tij", centred, centred)
    assert (np.abs(found.scatter - expected) < rtol * size[:, None, None]).all()
    np.testing.assert_array_equal(found.scatter, found.scatter.transpose(0, 2, 1))
    gram = np.einsum("nsi,nti->st", centred, centred)
    # As on the CPU, in products of float32.
    within = (1e-12 if products == "float64" else 1e-6) * np.sqrt(np.outer(size, size))
    assert (np.abs(found.gram - gram) < within).all()
    np.testing.assert_allclose(found.averaged, averaged.T @ averaged, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.norms, np.linalg.norm(whole, axis=2), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("products", ["float64", "float32"])
def test_a_constant_token_has_no_scatter(products, dtype):
    activations = some(dtype=dtype)
    activations[:, 2] = dtype(-1.8)
    found = on_gpu(activations, products)
    assert not found.scatter[2].any()
    assert not found.gram[2].any()
    np.testing.assert_array_equal(found.mean[2], dtype(-1.8))


def test_squares_beyond_float32_are_an_error():
    activations = some() * np.float32(1e19)
    with pytest.raises(StudyError, match="squares of activations are beyond float32"):
        on_gpu(activations, "float32")
    with pytest.raises(StudyError, match="squares of activations are beyond float32"):
        concatenated.spectrum(activations, device=BY_TORCH, products="float32")
    assert np.isfinite(on_gpu(activations, "float64").scatter).all()


def columns(case, samples=512):
    """Values whose columns are hard to add up, (1, sample, feature)."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(samples, 48))
    match case:
        case "of the same sign":
            values = np.abs(values) + 3
        case "a few large samples":
            values[::100] *= 1e4
        case "of many sizes":
            values *= 10.0 ** rng.integers(-10, 10, 48)
        case "one sample":
            values[1:] = 0
        case "zeros":
            values[:, ::2] = 0
    return torch.from_numpy(values.astype(np.float32))[None]


@pytest.mark.parametrize("case", ["normal", "of the same sign", "a few large samples", "of many sizes", "zeros"])
def test_products_of_slices_are_exact_in_any_order(case):
    values = columns(case)
    first = moments_on_gpu.leading_slice(values)
    second = moments_on_gpu.leading_slice(values - first)
    found = list(moments_on_gpu.half_products(values))
    exact = [first.transpose(1, 2).double() @ slice_.double() for slice_ in (first / 2, second)]
    for product, expected in zip(found[:2], exact, strict=True):
        np.testing.assert_array_equal(product.double(), expected)
    # One sample after the other, forwards and backwards.
    for order in (range(512), reversed(range(512))):
        total = torch.zeros(48, 48)
        for sample in order:
            total += torch.outer(first[0, sample], second[0, sample])
        np.testing.assert_array_equal(total.double(), exact[1][0])


@pytest.mark.parametrize(
    "case", ["normal", "of the same sign", "a few large samples", "of many sizes", "one sample", "zeros"]
)
def test_slices_leave_nothing_out_and_the_rest_is_small(case):
    values = columns(case)
    first = moments_on_gpu.leading_slice(values)
    second = moments_on_gpu.leading_slice(values - first)
    rest = values - first - second
    np.testing.assert_array_equal(first.double() + second.double() + rest.double(), values.double())
    norm, its = (torch.linalg.vector_norm(array, dim=1) for array in (values, rest))
    assert (its <= norm * 2.0**-15).all()
    half = sum(product.double() for product in moments_on_gpu.half_products(values))
    found, exact = half + half.transpose(1, 2), values.transpose(1, 2).double() @ values.double()
    # Rounding of the rest's products, of 512 samples at the most.
    assert (torch.abs(found - exact) <= 2.0**-37 * norm[:, :, None] * norm[:, None]).all()


def planted(alpha, features, *, mean=0.0, massive=False, above=1.0, samples=2000):
    """Samples with λ_j ∝ j^(−α) in directions of their own, (sample, 1, feature) float32.

    `massive` makes the variance of one feature 10⁴ times that of the others; `above` lifts λ₁, a massive direction.
    """
    rng = np.random.default_rng(0)
    eigenvalues = np.arange(1, features + 1.0) ** -alpha
    eigenvalues[0] *= above
    values = rng.normal(size=(samples, features)) * np.sqrt(eigenvalues)
    values = values @ ortho_group.rvs(features, random_state=rng)
    values /= values.std()
    if massive:
        values[:, 5] = 100 * rng.normal(size=samples)
    return (values + mean * rng.normal(size=features)).astype(np.float32)[:, None]


def alpha_of(scatter, samples):
    values = np.linalg.eigvalsh(scatter)[..., ::-1] / samples
    return fit_power_law(values, (11, 100)).alpha


def plain_products(values):
    """In the place of `half_products`: one product of float32, without slices."""
    yield values.transpose(1, 2) @ (values / 2)


def one_after_the_other(left, right):
    """A matrix product whose products are added up in the worst order, as a GPU may do."""
    total = left.new_zeros(*left.shape[:-1], right.shape[-1])
    for index in range(left.shape[-1]):
        total += left[..., index, None] * right[..., index, None, :]
    return total


@pytest.mark.parametrize("features", [192, 384])
@pytest.mark.parametrize(
    ("alpha", "how", "bound", "plain_is_off"),
    [
        (1, {}, 1e-6, False),
        (1, {"mean": 30}, 1e-6, False),
        (1, {"massive": True}, 1e-6, False),
        (1, {"above": 1e4}, 1e-6, False),
        (2.5, {}, 1e-6, False),
        (2.5, {"mean": 30}, 1e-6, False),
        (2.5, {"massive": True}, 1e-6, False),
        # λ₁₀₀ is 10⁻⁹ λ₁.
        (2.5, {"above": 1e4}, 1e-5, True),
        # λ₁₀₀ is 10⁻⁸ λ₁.
        (4, {}, 1e-6, True),
        (4, {"mean": 30}, 1e-6, True),
        (4, {"massive": True}, 1e-6, True),
        # λ₁₀₀ is 10⁻¹² λ₁.
        (4, {"above": 1e4}, 1e-3, True),
    ],
)
def test_alpha_from_slices_of_float32_is_that_from_float64(monkeypatch, features, alpha, how, bound, plain_is_off):
    activations = planted(alpha, features, **how)
    centred = activations[:, 0].astype(np.float64)
    centred -= centred.mean(axis=0)
    expected = alpha_of(centred.T @ centred, 2000)
    found = alpha_of(on_gpu(activations, "float32", 680).scatter[0], 2000)
    monkeypatch.setattr(moments_on_gpu, "half_products", plain_products)
    plain = alpha_of(on_gpu(activations, "float32", 680).scatter[0], 2000)
    print(f"D = {features}, α = {alpha}, {how}: off by {abs(found - expected):.1e}, plain {abs(plain - expected):.1e}")
    assert abs(found - expected) < bound
    assert (abs(plain - expected) > 1e-3) == plain_is_off


@pytest.mark.parametrize(("alpha", "above", "bound"), [(2.5, 1, 1e-6), (2.5, 1e4, 1e-5), (4, 1, 1e-6), (4, 1e4, 1e-3)])
def test_alpha_does_not_depend_on_the_order_in_which_a_device_adds(monkeypatch, alpha, above, bound):
    activations = planted(alpha, 128, above=above)
    expected = alpha_of(on_gpu(activations, "float64", 680).scatter[0], 2000)

    def added(self, left, right, *, alpha=1):
        return self.add_(one_after_the_other(left, right), alpha=alpha)

    monkeypatch.setattr(torch.Tensor, "__matmul__", one_after_the_other)
    monkeypatch.setattr(torch.Tensor, "baddbmm_", added)
    found = alpha_of(on_gpu(activations, "float32", 680).scatter[0], 2000)
    print(f"α = {alpha}, λ₁ × {above}, in the worst order: off by {abs(found - expected):.1e}")
    assert 0 < abs(found - expected) < bound


@pytest.mark.parametrize("block_bytes", [2000, 10**9])
@pytest.mark.parametrize("massive", [False, True])
def test_the_sample_gram_in_float64_equals_that_by_numpy(block_bytes, massive):
    activations = some()
    activations[:, 3, 4] *= 1 + 99 * massive
    expected = concatenated.spectrum(activations, products="float64", block_bytes=block_bytes)[:2]
    found = concatenated.spectrum(activations, device=BY_TORCH, products="float64", block_bytes=block_bytes)[:2]
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9, atol=1e-10 * massive + 1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


@pytest.mark.parametrize("in_worst_order", [False, True])
@pytest.mark.parametrize("massive", [False, True])
@pytest.mark.parametrize("decay", [0.5, 1.5])
def test_the_sample_gram_in_float32_is_off_in_the_seventh_digit_or_by_less_than_the_floor(
    monkeypatch, decay, massive, in_worst_order
):
    rng = np.random.default_rng(0)
    activations = rng.normal(size=(40, 1, 20000)) * np.arange(1, 20001) ** -decay + 10
    activations[20:] = (activations[:20] + activations[np.arange(20) - 1]) / 2
    # Beyond all other features together; it does not count for the floor.
    activations[:, 0, 700] += massive * 1000 * rng.normal(size=40)
    activations = activations.astype(np.float32)
    exact, *_ = concatenated.spectrum(activations, products="float64")
    if in_worst_order:
        monkeypatch.setattr(torch.Tensor, "__matmul__", one_after_the_other)
    found, floors, _ = concatenated.spectrum(activations, device=BY_TORCH, products="float32")
    rest = np.delete(activations[:, 0], 700 if massive else [], axis=1).astype(np.float64)
    assert floors[-1] <= 1.001 * product_floor(rest.var(axis=0).sum(), 40)
    error = np.abs(found - exact)
    print(f"decay {decay}, massive {massive}, worst {in_worst_order}:", (error / (1e-6 * exact + floors[-1])).max())
    assert (error < 1e-6 * exact + floors[-1]).all()
