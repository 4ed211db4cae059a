"""What a study does not have, its page does without, and says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from browser import complaints, open_page
from pages import Page
from tokengeometry.explorer.page import branch_page
from tokengeometry.explorer.payload import Stores, Tables, of_branch
from tokengeometry.storage.zarr_store import open_layers
from tokengeometry.tables import read

from bench.explorer import made_up

FIT = {"ranks": [2, 15], "min_ranks": 8, "weights": "inverse_rank"}
BEHIND = dict.fromkeys(("mean_image", "spread_image"), np.zeros((64, 64, 3), np.uint8))


@pytest.fixture
def parts(finished):
    """Tables, stores and model of the small study's branch."""
    tables = Tables(*(read(finished.branch / f"{name}.csv") for name in ("alpha", "clusters")), {})
    kinds = ("spectra", "correlations", "uncertainty")
    stores = Stores(*(open_layers((finished.branch / kind).glob("*.zarr")) for kind in kinds))
    return tables, stores, json.loads(finished.path("models", "tiny", "model.json").read_text())


@pytest.fixture
def claims(finished):
    return read(finished.branch / "claims.csv")


def opened(browser, tmp_path, page, fragment=""):
    path = tmp_path / "page.html"
    path.write_text(page)
    open_page(browser, path, fragment)
    return Page(browser)


def test_without_folds_there_are_no_intervals_and_no_images(parts, claims, browser, tmp_path):
    tables, stores, model = parts
    columns = ["alpha_corrected", "se", "low", "high", "curvature", "curvature_z"]
    alpha = tables.alpha.assign(**dict.fromkeys(columns, float("nan")))
    payload = of_branch(replace(tables, alpha=alpha), replace(stores, uncertainty={}), model, {}, FIT, BEHIND, 6)
    page = opened(browser, tmp_path, branch_page(payload, "tiny", {}, claims))
    assert page.state()["show"] == "alpha"
    assert "uncertainty.folds: 0" in page.said("images")
    assert "95 %" not in page.title("trajectory")
    assert complaints(browser) == []


def test_a_study_of_one_layer_has_no_slider(parts, claims, browser, tmp_path):
    tables, stores, model = parts
    alpha = tables.alpha[tables.alpha.layer == 1]
    one = Stores(*({1: getattr(stores, kind)[1]} for kind in ("spectra", "correlations", "uncertainty")))
    payload = of_branch(replace(tables, alpha=alpha), one, model, {}, FIT, BEHIND)
    page = opened(browser, tmp_path, branch_page(payload, "tiny", {}, claims))
    assert page.model("layer", "it.disabled") is True
    assert "explorer.thumbnails: 0" in page.said("images")
    assert complaints(browser) == []


@pytest.mark.parametrize("prefix", [(), ("cls", "reg_1", "reg_2")])
def test_models_without_cls_and_with_registers_have_pages(browser, tmp_path, prefix):
    page = opened(browser, tmp_path, made_up(4, 120, 2, 4, prefix), "layer=1&tokens=0,0")
    assert page.model("chips", "it.data.words")[: len(prefix)] == [
        name.upper() if name == "cls" else name.replace("_", " ") for name in prefix
    ]
    page.click("token_grid", 2, 3)
    page.wait_for(lambda: page.state()["tokens"] == "3,2")
    assert "α = " in page.title("spectrum")
    assert complaints(browser) == []


def test_a_token_with_empty_alpha_says_why(finished, browser):
    open_page(browser, finished.path("explorer", "tiny.pictures.test.html"), "layer=0&tokens=0,0;cls")
    page = Page(browser)
    assert "constant" in page.said("words")
    assert page.title("spectrum") == "No spectrum of CLS at layer 0 (pixels) in this page"
    assert page.title("correlation") == "CLS is not there at layer 0"
    assert complaints(browser) == []
