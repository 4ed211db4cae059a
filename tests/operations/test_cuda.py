"""What a CUDA device computes equals what the CPU computes."""

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from tokengeometry.activations import in_memory
from tokengeometry.activations.on_disk import write_layer
from tokengeometry.geometry import concatenated, moments, spectra
from tokengeometry.model.token_chain import TokenChain, patchify
from tokengeometry.operations import devices
from tokengeometry.storage import zarr_store

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


def test_moments(device, activations):
    batches = [activations[:100], activations[100:]]
    found, expected = moments.accumulate(batches, device=device), moments.accumulate(batches)
    assert found.count == expected.count == 300
    for name in ("mean", "scatter", "gram", "averaged"):
        whole = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), whole, rtol=0, atol=1e-6 * np.abs(whole).max())


def test_eigenvalues(device, activations):
    scatter = moments.accumulate([activations]).scatter
    (found, vectors), (expected, _) = (spectra.eigensystem(scatter, 300, device=place) for place in (device, "cpu"))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(scatter @ vectors, 300 * found[:, None] * vectors, atol=1e-9)


@pytest.mark.parametrize("block_bytes", [10**6, 10**9])
def test_concatenated_spectrum(device, activations, block_bytes):
    found, floor = concatenated.spectrum(activations, device=device, block_bytes=block_bytes)
    expected, expected_floor = concatenated.spectrum(activations, products="float64")
    np.testing.assert_allclose(found[:299], expected[:299], rtol=1e-9)
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


def test_direct_mode(device, network):
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
        )
        found[place.type] = {layer: (its, joint) for layer, its, joint in made}
    for layer, (its, (eigenvalues, _)) in found["cpu"].items():
        other, (other_eigenvalues, _) = found["cuda"][layer]
        np.testing.assert_allclose(other.scatter, its.scatter, rtol=0, atol=1e-4 * its.scatter.max())
        np.testing.assert_allclose(other_eigenvalues[:19], eigenvalues[:19], rtol=1e-3)
