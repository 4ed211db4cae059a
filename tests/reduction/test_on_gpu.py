"""A CUDA device reduces tokens as the CPU does, and speed is measured on it."""

import json

import numpy as np
import pytest
import torch
from reducible import DEPTH, small_model, some_geometry, some_images
from tokengeometry.operations import devices
from tokengeometry.reduction import forward, policies, speed, tuning
from tokengeometry.reduction.patching import reduce
from tokengeometry.storage import zarr_store

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
SCHEDULE = [9, 5, 3]


@pytest.fixture(scope="module")
def device():
    return devices.prepare("cuda", 1)


@pytest.mark.parametrize("policy", policies.names())
def test_every_policy_makes_what_it_makes_on_the_cpu(device, policy):
    made = {}
    for place in ("cpu", device):
        model, images = small_model().to(place), some_images(8).to(place)
        with torch.inference_mode(), reduce(model, SCHEDULE, policy=policy, geometry=some_geometry()) as reduction:
            tokens = model.forward_features(images)
        assert {its.device.type for its in (tokens, reduction.sizes, reduction.places)} == {torch.device(place).type}
        made[torch.device(place).type] = [its.cpu() for its in (tokens, reduction.sizes, reduction.places)]
    torch.testing.assert_close(made["cuda"][0], made["cpu"][0], rtol=1e-3, atol=1e-3)
    assert all(map(torch.equal, made["cuda"][1:], made["cpu"][1:]))


def test_without_a_reduction_every_bit_stays(device):
    model, images = small_model().to(device), some_images(8).to(device)
    with torch.inference_mode():
        whole = model.forward_features(images)
        with reduce(model, [0] * DEPTH):
            assert torch.equal(model.forward_features(images), whole)


@pytest.mark.parametrize("precision", speed.PRECISIONS)
@pytest.mark.parametrize("policy", ["tome", "alpha_merge", "correlation"])
def test_speed_and_memory_are_finite(device, precision, policy):
    if precision == "bfloat16" and not speed.has_bfloat16(device):
        pytest.skip("the device has no bfloat16")
    dtype = getattr(torch, precision)
    model, images = small_model().to(device, dtype), some_images(8).to(device, dtype)
    its = speed.compare(model, images, SCHEDULE, repeats=3, policy=policy, geometry=some_geometry())
    assert np.isfinite(list(its.values())).all()
    assert min(its["memory"], its["whole_memory"]) > 0
    json.dumps(its)


def test_what_is_written_is_what_the_cpu_writes(device, tmp_path):
    samples = np.arange(24)
    for place in (torch.device("cpu"), device):
        folder, model, images = tmp_path / place.type, small_model().to(place), some_images(24).split(16)
        forward.write_whole(folder / "whole.zarr", model, images, samples, {})
        whole = zarr_store.open_store(folder / "whole.zarr")
        labels = {"sample": (("sample",), samples)}
        options = dict(policy="tome", geometry=some_geometry(), seed=0)
        forward.write_reduced(folder / "tome.zarr", model, images, whole, SCHEDULE, labels, **options)
    found, expected = (zarr_store.open_store(tmp_path / name / "tome.zarr") for name in ("cuda", "cpu"))
    assert found.attributes["flops"] == expected.attributes["flops"]
    for name in expected:
        np.testing.assert_allclose(found[name][:], expected[name][:], rtol=1e-3, atol=1e-3)


def test_a_search_scores_schedules_on_the_device(device):
    model = small_model().to(device)
    pieces = list(forward.pieces([some_images(8)], model))
    with torch.inference_mode():
        whole = [model.forward_features(piece).float() for piece in pieces]
    score = forward.mean_cosine(model, pieces, whole)
    tuned = tuning.search(score, lambda shape: [int(9 * its / max(shape)) for its in shape], DEPTH, 4)
    assert 0 < tuned.score <= 1 + 1e-6
    assert score([0] * DEPTH) == pytest.approx(1)
