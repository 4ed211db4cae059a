"""The images that a page shows for a token are those that move its α."""

import io

import numpy as np
import pytest
from PIL import Image
from tokengeometry.explorer import sprite
from tokengeometry.explorer.influences import NONE, extremes
from tokengeometry.storage.zarr_store import open_store

FIT = {"ranks": [2, 15], "min_ranks": 8, "weights": "inverse_rank"}


def slopes(values, ranks):
    """How α changes with the weight of every image: by a little more of each, (image,)."""

    def alpha(weights):
        covariance = np.cov(values.T, aweights=weights, bias=True)
        eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
        rank = np.arange(ranks[0], ranks[1] + 1)
        return -np.polyfit(np.log(rank), np.log(eigenvalues[rank - 1]), 1, w=rank**-0.5)[0]

    step = 1e-4
    return np.array([(alpha(1 + step * one) - alpha(1 - step * one)) / (2 * step) for one in np.eye(len(values))])


@pytest.mark.parametrize("row", [0, 6, 12])
def test_the_images_that_are_shown_first_move_alpha_most(finished, row):
    place = "layer_01.zarr"
    spectra, uncertainty = (open_store(finished.branch / kind / place) for kind in ("spectra", "uncertainty"))
    raising, lowering = extremes(spectra, uncertainty, 3, **FIT)[row]
    activations = open_store(finished.branch / "activations/layer_01/part_000.zarr")["activations"][:, row]
    moved = slopes(activations[:16].astype(np.float64), (2, 15))
    order = np.argsort(-moved)
    assert raising[0] in order[:2]
    assert lowering[0] in order[-2:]
    assert (moved[raising[raising != NONE]] > 0).all()
    assert (moved[lowering[lowering != NONE]] < 0).all()


def test_a_token_without_alpha_has_no_images(finished):
    spectra, uncertainty = (open_store(finished.branch / kind / "layer_00.zarr") for kind in ("spectra", "uncertainty"))
    found = extremes(spectra, uncertainty, 3, **FIT)
    assert (found[0] == NONE).all()
    assert (found[1] != NONE).any()


def test_the_pool_has_the_images_that_are_shown_most_often(monkeypatch):
    monkeypatch.setattr(sprite, "MOST_BYTES", 2 * sprite.IMAGE_BYTES)
    shown = np.array([[5, 7, NONE], [7, 9, 9], [9, 9, 2]], np.uint32)
    assert sprite.pool(shown).tolist() == [7, 9]


def test_a_sheet_has_every_thumbnail_at_its_place_and_keeps_to_its_bytes(rng, monkeypatch):
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    content, columns = sprite.sheet(Image.new("RGB", (50, 30), colour) for colour in colours)
    whole = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    for index, colour in enumerate(colours):
        row, column = divmod(index, columns)
        middle = whole[(row * 2 + 1) * sprite.SIDE // 2, (column * 2 + 1) * sprite.SIDE // 2]
        assert np.abs(middle - colour).max() < 30
    noise = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(50)]
    monkeypatch.setattr(sprite, "MOST_BYTES", 50_000)
    assert len(sprite.sheet(noise)[0]) <= 50_000
