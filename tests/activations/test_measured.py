"""Where the chain is coarser than float32, the study itself measures what that adds, stored and in direct mode."""

import copy

import numpy as np
import pytest
import torch
from small_study import OFFLINE, SMALL, Workflow
from tokengeometry import unpack_scatter
from tokengeometry.model.token_chain import load_chain
from tokengeometry.operations.cost import sizes
from tokengeometry.storage import zarr_store
from tokengeometry.study import Study

SPECTRA = "results/tiny/pictures/test/spectra/layer_02.zarr"


def study(finished, folder, **changes):
    """The small study with changes, up to the spectra of its last layer, beside what the finished one fetched."""
    finished.copy(folder)
    config = copy.deepcopy(SMALL)
    for section, settings in changes.items():
        config[section] = config[section] | settings if isinstance(settings, dict) else settings
    workflow = Workflow(folder, config)
    workflow.run(SPECTRA, environment=OFFLINE)
    return workflow


@pytest.fixture(scope="module")
def coarse(finished, tmp_path_factory):
    return study(finished, tmp_path_factory.mktemp("coarse") / "study", forward={"precision": "bfloat16"})


def test_noise_is_measured_on_samples_of_the_first_part_against_float32(coarse, finished):
    pixels = zarr_store.open_store(coarse.branch / "activations/layer_00/part_000.zarr")["activations"][:]
    model = {"architecture": "vit_tiny_patch16_224", "image_size": [64, 64]}
    chain = load_chain(model, finished.path("models/tiny/weights.safetensors"), layers=[1, 2])
    tokens = torch.from_numpy(pixels)
    for layer in (1, 2):
        with torch.inference_mode():
            tokens = chain.link(layer, tokens)
        noise = zarr_store.open_store(coarse.branch / f"noise/layer_{layer:02d}.zarr")
        stored = zarr_store.open_store(coarse.branch / f"activations/layer_{layer:02d}/part_000.zarr")["activations"][:]
        assert noise.attributes["samples"] == len(tokens) == 16
        np.testing.assert_allclose(noise["reference"][:], tokens, atol=1e-4)
        np.testing.assert_array_equal(noise["difference"][:], stored - noise["reference"][:])
        assert 1e-4 < np.abs(noise["difference"][:]).mean() / np.abs(stored).mean() < 0.1


def test_the_floor_of_a_coarse_layer_is_that_of_the_measured_noise(coarse):
    spectra = zarr_store.open_store(coarse.directory / SPECTRA)
    difference = zarr_store.open_store(coarse.branch / "noise/layer_02.zarr")["difference"][:].astype(np.float64)
    sums = zarr_store.open_store(coarse.branch / "moments/layer_02/part_000.zarr")
    other = zarr_store.open_store(coarse.branch / "moments/layer_02/part_001.zarr")
    for token in (0, 5):
        step = other["mean"][token] - sums["mean"][token]
        scatter = unpack_scatter(sums["scatter"][token] + other["scatter"][token]) + np.outer(step, step) * 16 * 8 / 24
        vectors = np.linalg.eigh(scatter)[1][:, ::-1]
        noise = np.var(difference[:, token] @ vectors, axis=0, ddof=1)
        below = (noise.sum() - np.cumsum(noise)) / 24
        floor = noise + below + np.sqrt((noise + below) ** 2 + 4 * noise * below)
        # Of 24 samples only 23 ranks are there; the others' eigenvectors are any.
        np.testing.assert_allclose(spectra["floor"][token, :20], floor[:20], rtol=0.02)


def test_noise_is_measured_in_direct_mode_too(coarse, finished, tmp_path):
    direct = study(
        finished,
        tmp_path / "direct",
        forward={"precision": "bfloat16"},
        activations={"store": False},
        concatenated_samples=16,
    )
    for layer in ("01", "02"):
        found, expected = (
            zarr_store.open_store(workflow.branch / f"noise/layer_{layer}.zarr")["difference"][:]
            for workflow in (direct, coarse)
        )
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    assert not (direct.branch / "noise/layer_00.zarr").exists()
    floors = [zarr_store.open_store(workflow.directory / SPECTRA)["floor"][:, :20] for workflow in (direct, coarse)]
    np.testing.assert_allclose(*floors, rtol=0.2)


def test_the_plan_knows_the_noise(coarse):
    found = Study(copy.deepcopy(SMALL) | {"forward": {"precision": "bfloat16"}})
    assert found.measured("pictures", "test") == 16
    assert Study(copy.deepcopy(SMALL)).measured("pictures", "test") == 0
    store = coarse.branch / "noise/layer_02.zarr"
    chunks = [
        file for name in ("difference", "reference") for file in (store / name / "c").rglob("*") if file.is_file()
    ]
    assert sum(file.stat().st_size for file in chunks) == sizes.noise_disk(16, 17, 192, 2)
