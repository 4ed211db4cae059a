"""What is behind the token grid is the mean and the standard deviation of the images' pixels."""

import json

import numpy as np
import pytest
from browser import complaints, open_page
from pages import Page
from tokengeometry.explorer import backdrop
from tokengeometry.storage.zarr_store import open_store

MODEL = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}


@pytest.mark.parametrize("grey", [False, True])
def test_mean_and_deviation_are_numpys_however_the_images_are_batched(rng, grey):
    light = rng.uniform(size=(11, 1 if grey else 3, 6, 4))
    model = {name: values[: light.shape[1]] for name, values in MODEL.items()}
    mean, std = (np.reshape(model[name], (1, -1, 1, 1)) for name in ("mean", "std"))
    images = ((light - mean) / std).astype(np.float32)
    found = backdrop.pictures([images[:4], images[4:8], images[8:]], model)
    deviation = light.std(axis=0)
    for name, expected in (("mean_image", light.mean(axis=0)), ("spread_image", deviation / deviation.max())):
        expected = np.broadcast_to(expected.transpose(1, 2, 0), (6, 4, 3))
        assert np.abs(found[name] / 255 - expected).max() < 0.501 / 255


def test_images_that_are_all_the_same_have_a_black_deviation():
    found = backdrop.pictures([np.zeros((5, 3, 4, 4), np.float32)], MODEL)
    assert found["spread_image"].max() == 0


@pytest.mark.parametrize("behind", ["mean", "spread"])
def test_the_picture_in_a_page_is_that_of_the_pixels_stored_and_the_right_way_up(finished, browser, behind):
    parts = sorted((finished.branch / "activations/layer_00").glob("*.zarr"))
    patches = np.concatenate([open_store(part)["activations"][:] for part in parts])
    model = json.loads(finished.path("models", "tiny", "model.json").read_text())
    # (image, grid row, grid column, channel, row, column), of patches of 16 pixels.
    patches = patches.reshape(24, 4, 4, 3, 16, 16).transpose(0, 1, 4, 2, 5, 3).reshape(24, 64, 64, 3)
    light = patches * model["std"] + np.array(model["mean"])
    expected = light.mean(axis=0) if behind == "mean" else light.std(axis=0) / light.std(axis=0).max()
    open_page(browser, finished.path("explorer", "tiny.pictures.test.html"), f"layer=1&tokens=&behind={behind}")
    page = Page(browser)
    page.run("Bokeh.documents[0].get_model_by_name('tiles_drawn').visible = false")
    for row, column in [(3, 60), (40, 3), (50, 50), (30, 35), (3, 3)]:
        shown = page.colour("token_grid", (column + 0.5) / 16 - 0.5, (row + 0.5) / 16 - 0.5)
        found = np.array(list(bytes.fromhex(shown[1:])))
        # Or that of the pixel beside it, where a place on the screen is between two.
        near = expected[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
        assert np.abs(255 * near - found).max(axis=1).min() < 2, (row, column, shown)
    assert complaints(browser) == []
