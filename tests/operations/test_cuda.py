"""What a CUDA device computes equals what the CPU computes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from tokengeometry.activations import in_memory
from tokengeometry.activations.on_disk import write_layer
from tokengeometry.geometry import concatenated, moments, moments_on_gpu, spectra
from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.model.token_chain import TokenChain, patchify
from tokengeometry.operations import devices, product_rates
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import BATCH_BYTES, batch_rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(scope="module")
def device():
    return devices.prepare("cuda", 1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=2, num_classes=0).eval()


@pytest.fixture
def activations(rng):
    scales = np.arange(1, 65) ** -0.8
    return (rng.normal(size=(300, 17, 64)) * scales + 5 * rng.normal(size=(17, 64))).astype(np.float32)


def test_what_to_multiply_in_is_measured(device, capsys):
    product_rates.chosen.cache_clear()
    assert product_rates.adds_exactly(device)
    chosen = product_rates.chosen(device)
    ratio = float(capsys.readouterr().out.split("a ratio of ")[1].split(":")[0])
    assert chosen.scatter == chosen.gram == ("float32" if ratio > product_rates.TIMES else "float64")


def test_by_tf32_products_are_not_exact(device):
    if torch.cuda.get_device_capability(device) < (8, 0):
        pytest.skip("the device has no TF32")
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        assert not product_rates.adds_exactly(device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


@pytest.mark.parametrize("products", ["float64", "float32"])
def test_moments(device, activations, products):
    batches = [activations[:100], activations[100:]]
    found, expected = moments.accumulate(batches, device=device, products=products), moments.accumulate(batches)
    assert found.count == expected.count == 300
    for name in ("mean", "scatter", "gram", "averaged"):
        whole = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), whole, rtol=0, atol=1e-6 * np.abs(whole).max())


def test_eigenvalues(device, activations):
    scatter = moments.accumulate([activations]).scatter
    (found, vectors), (expected, _) = (spectra.eigensystem(scatter, 300, device=place) for place in (device, "cpu"))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(scatter @ vectors, 300 * found[:, None] * vectors, atol=1e-9)


def test_spectra_of_blocks_that_are_solved_side_by_side(device, activations, tmp_path, monkeypatch):
    # More blocks than are at work, the last one shorter.
    monkeypatch.setattr(spectra, "token_blocks", lambda _: [slice(first, first + 2) for first in range(0, 17, 2)])
    moments.write(tmp_path / "moments.zarr", moments.accumulate([activations]), dtypes=["float32"])
    concatenated.save(tmp_path / "concatenated.zarr", *concatenated.spectrum(activations), 300, {}, gram_products="")
    stores = [zarr_store.open_store(tmp_path / f"{name}.zarr") for name in ("moments", "concatenated")]
    for place in (device, "cpu"):
        spectra.write_spectra(tmp_path / f"{place}.zarr", stores[:1], stores[1], device=place)
    found, expected = (zarr_store.open_store(tmp_path / f"{place}.zarr") for place in (device, "cpu"))
    for name in expected:
        # Floors follow from eigenvectors, which small gaps between eigenvalues turn.
        rtol = 1e-6 if name.endswith("floor") else 1e-9
        np.testing.assert_allclose(found[name][:], expected[name][:], rtol=rtol, atol=1e-14, err_msg=name)


def test_solvers_side_by_side_may_be_the_first_of_a_process():
    # torch loads them at the first call, and fails where two threads make it.
    script = """
import numpy as np, torch
from tokengeometry.geometry import spectra
solve = lambda matrix: spectra.eigensystem(matrix, 1, device="cuda")[0]
found = list(spectra._side_by_side(solve, [np.eye(64)[None]] * 8, "cuda"))
assert np.allclose(found, 1), found
"""
    subprocess.run(
        [sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )


@pytest.mark.parametrize("alpha", [2.5, 4])
def test_alpha_from_slices_of_float32_is_that_from_float64(device, rng, alpha):
    directions = np.linalg.qr(rng.normal(size=(192, 192)))[0]
    activations = rng.normal(size=(2000, 192)) * np.arange(1, 193) ** (-alpha / 2) @ directions
    activations = activations.astype(np.float32)[:, None]
    batches = np.array_split(activations, 3)
    expected, found = (
        fit_power_law(np.linalg.eigvalsh(its.scatter)[:, ::-1], (11, 100)).alpha
        for its in (moments.accumulate(batches), moments.accumulate(batches, device=device, products="float32"))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_products_of_slices_are_exact(device, rng):
    values = torch.from_numpy(rng.normal(size=(3, 512, 192)).astype(np.float32))
    found = list(moments_on_gpu.half_products(values.to(device)))[:2]
    expected = list(moments_on_gpu.half_products(values))[:2]
    assert all(torch.equal(its.cpu(), other) for its, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("products", ["float64", "float32"])
def test_a_batch_takes_the_memory_that_is_planned_for_it(device, products):
    tokens, features = 257, 384
    batch = torch.randn(batch_rows(tokens, features), tokens, features, device=device)
    sums = moments_on_gpu.SUMS[products](batch[0].double())
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    sums.add(batch)
    assert torch.cuda.max_memory_allocated(device) - before <= 3 * BATCH_BYTES


@pytest.mark.parametrize(("products", "rtol"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("block_bytes", [10**6, 10**9])
def test_concatenated_spectrum(device, activations, block_bytes, products, rtol):
    found, floor, _ = concatenated.spectrum(activations, device=device, products=products, block_bytes=block_bytes)
    expected, expected_floor, _ = concatenated.spectrum(activations, products="float64")
    assert (
        np.abs(found - expected)[:299] <= rtol * expected[:299] + (products == "float32") * expected_floor[-1]
    ).all()
    np.testing.assert_allclose(floor, expected_floor, rtol=1e-4)


def test_a_layer_from_the_one_before(device, network, rng, tmp_path):
    with zarr_store.create(tmp_path / "before.zarr", compute_dtype="float32") as store:
        store.write("activations", rng.normal(size=(20, 17, 64)).astype(np.float32), ("sample", "token", "feature"))
        store.write("sample", np.arange(20), ("sample",))
    for place in ("cuda", "cpu"):
        chain = TokenChain(network.to(device if place == "cuda" else "cpu"))
        path = tmp_path / f"{place}.zarr"
        write_layer(path, tmp_path / "before.zarr", chain, 2, batch_size=8, device=torch.device(place))
    found, expected = (zarr_store.open_store(tmp_path / f"{name}.zarr")["activations"][:] for name in ("cuda", "cpu"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_moments_that_are_copied_beside_the_next_layer(device, network, monkeypatch):
    # So small pieces that several threads copy each array.
    monkeypatch.setattr(moments_on_gpu, "HOST_BYTES", 4096)
    patches = patchify(torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)), (8, 8))
    found = {}
    for place, sums in ((device, device), (torch.device("cpu"), "cpu")):
        its = found[place.type] = {}
        in_memory.analyse_writing(
            lambda layer, its_moments, *_, its=its: its.update({layer: its_moments}),
            lambda start, stop: patches[start:stop].split(8),
            TokenChain(network.to(place)),
            [0, 1, 2],
            np.arange(40),
            size=(40, 3),
            device=place,
            sums_device=sums,
            threads=1,
        )
    for layer, expected in found["cpu"].items():
        for name in ("mean", "scatter", "gram", "averaged", "norms"):
            whole = getattr(expected, name)
            its = getattr(found["cuda"][layer], name)
            np.testing.assert_allclose(its, whole, rtol=0, atol=1e-4 * np.abs(whole).max(), err_msg=f"{layer} {name}")


@pytest.mark.parametrize("products", ["float64", "float32"])
def test_direct_mode(device, network, products):
    images = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    patches = patchify(images, (8, 8))
    found = {}
    for place, sums in ((device, device), (torch.device("cpu"), "cpu")):
        made = in_memory.analyse(
            lambda start, stop: patches[start:stop].split(8),
            TokenChain(network.to(place)),
            [0, 2],
            np.arange(20),
            size=(20, 2),
            joint=20,
            device=place,
            sums_device=sums,
            threads=1,
            products=product_rates.ON_CPU if sums == "cpu" else product_rates.Products(products, products),
        )
        found[place.type] = {layer: (its(), joint) for layer, its, joint, *_ in made}
    for layer, (its, (eigenvalues, *_)) in found["cpu"].items():
        other, (other_eigenvalues, *_) = found["cuda"][layer]
        np.testing.assert_allclose(other.scatter, its.scatter, rtol=0, atol=1e-4 * its.scatter.max())
        np.testing.assert_allclose(other_eigenvalues[:19], eigenvalues[:19], rtol=1e-3)
