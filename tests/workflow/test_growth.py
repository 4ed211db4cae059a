"""Pictures are added to the folder of a finished study: no two permutations are mixed, and the way on is said."""

import re

import numpy as np
import pytest
import xarray
from PIL import Image
from small_study import SMALL, Workflow
from test_contract import BRANCH, FETCHED, LAYERS, difference, job, whole
from test_direct import config as direct_config
from tokengeometry.data import splits
from torchvision.datasets import ImageFolder

CHANGED = "error: pictures has changed since its images were first read (30 images then, 50 now): put it back"
DESCRIPTION = "results/data/pictures/splits/test.json"
GROWN = SMALL | {"samples": 28}


@pytest.fixture
def grown(finished, tmp_path):
    """The finished study of 24 of 30 pictures in parts of 16, with 20 pictures more."""
    workflow = Workflow(finished.copy(tmp_path / "study"), GROWN)
    rng = np.random.default_rng(7)
    for index in range(30, 50):
        picture = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
        picture.save(workflow.directory / "pictures" / f"class_{index % 2}" / f"{index:03d}.png")
    return workflow


def said(process):
    """The errors of the jobs' logs; the run's last words say each once more, with the rule before it."""
    return [line.strip() for line in process.stdout.splitlines() if re.match(r" *error: (?!\w+ \()", line)]


def layer_0(workflow):
    parts = [workflow.branch / f"activations/layer_00/part_{part}.zarr" for part in ("000", "001")]
    return [xarray.open_zarr(part) for part in parts]


def test_a_grown_folder_stops_the_next_part_and_the_advice_makes_all_anew(grown):
    pixels = [f"results/tiny/pictures/test/activations/layer_00/part_{part}.zarr" for part in ("000", "001")]
    process = grown.run(pixels[1], check=False)
    assert process.returncode != 0
    (line,) = said(process)
    assert line.startswith(CHANGED)
    assert f"delete {DESCRIPTION} and run again" in line

    # The advice.
    (grown.directory / DESCRIPTION).unlink()
    dataset = job("dataset", dataset="pictures", split="test")
    assert dataset in FETCHED
    assert difference(grown.planned(), {dataset} | whole(BRANCH, LAYERS)) == {"more": [], "less": []}
    # As if it were killed after the first job.
    grown.run(DESCRIPTION)
    assert difference(grown.planned(), whole(BRANCH, LAYERS)) == {"more": [], "less": []}
    temporary = {"activations": SMALL["activations"] | {"keep": False}, "moments": {"keep": False}}
    grown.configure(GROWN | temporary)
    assert difference(grown.planned(), whole(BRANCH, LAYERS)) == {"more": [], "less": []}
    grown.configure(GROWN)

    grown.run(*pixels)
    folder = ImageFolder(grown.directory / "pictures")
    samples = np.concatenate([part["sample"].values for part in layer_0(grown)])
    np.testing.assert_array_equal(samples, np.random.default_rng(SMALL["seed"]).permutation(50)[:28])
    transform = splits.transform(
        {"image_size": [64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
        | {"crop_pct": 0.9, "crop_mode": "center", "in_chans": 3}
    )
    found = np.concatenate([part["activations"].values for part in layer_0(grown)])
    for sample, tokens in zip(samples, found, strict=True):
        expected = transform(folder[int(sample)][0]).numpy()
        np.testing.assert_allclose(np.sort(tokens, axis=None), np.sort(expected, axis=None), rtol=0, atol=1e-6)


def test_direct_mode_stops_too(grown):
    grown.configure(direct_config(samples=28))
    target = "results/tiny/pictures/test/moments/layer_01/part_001.zarr"
    process = grown.run(target, check=False)
    assert process.returncode != 0
    (line,) = said(process)
    assert line.startswith(CHANGED)


def test_more_samples_than_there_were_say_that_the_folder_has_changed(grown):
    grown.configure(SMALL | {"samples": 40})
    process = grown.run("--dry-run", check=False)
    assert process.returncode == 1
    (line,) = said(process)
    assert "pictures has changed since its images were first read (30 images then, 50 now)" in line
    (grown.directory / DESCRIPTION).unlink()
    assert grown.run("--dry-run").returncode == 0
