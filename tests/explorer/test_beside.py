"""The pages beside those of the branches: of all of them, and of two."""

import json
import re

import pytest
from browser import complaints, open_page
from pages import Page
from selenium.webdriver.common.keys import Keys
from tokengeometry.explorer.compare import branch_quantities, compare_page
from tokengeometry.geometry import statistics
from tokengeometry.tables import read


def test_the_index_leads_to_every_branch_and_says_its_numbers(finished, browser):
    open_page(browser, finished.path("explorer", "index.html"))
    assert complaints(browser) == []
    text = browser.execute_script("return document.body.innerText")
    alpha, claims = (read(finished.branch / f"{name}.csv") for name in ("alpha", "claims"))
    last = alpha[(alpha.layer == 2) & (alpha.kind == "spatial")].alpha
    assert re.search(rf"mean α at layer 2\s+{last.mean():.3f}", text)
    assert re.search(rf"claims: does not hold\s+{(claims.verdict == 'does not hold').sum()}", text)
    assert "α is empty\t1 of 48 times" in text
    browser.execute_script("document.querySelector('h2 a').click()")
    assert Page(browser).title("token_grid")
    assert browser.current_url.split("#")[0].endswith("tiny.pictures.test.html")


@pytest.fixture(scope="module")
def two(finished, tmp_path_factory):
    """A page of the small study's branch, of one that is α less by 0.25, and of a model with another grid."""
    model = json.loads(finished.path("models", "tiny", "model.json").read_text())
    alpha, clusters, rankme = (read(finished.branch / f"{name}.csv") for name in ("alpha", "clusters", "rankme"))
    shifted = alpha.assign(alpha=alpha.alpha - 0.25, alpha_corrected=alpha.alpha_corrected - 0.25)
    labels = {"rankme": statistics.load("rankme").LABEL}
    wide = model | {"grid": [2, 8]}
    branches = [("tiny", "pictures", split, 24) for split in ("test", "train", "wide")]
    found = [
        branch_quantities(its, table, clusters, {"rankme": rankme}, labels)
        for its, table in ((model, alpha), (model, shifted[shifted.layer > 0]), (wide, alpha))
    ]
    path = tmp_path_factory.mktemp("compare") / "compare.html"
    path.write_text(compare_page(branches, found))
    return path, alpha


def test_two_branches_have_one_slider_and_a_difference(two, browser):
    path, alpha = two
    open_page(browser, path, "layer=1&tokens=2,1")
    page = Page(browser)
    for layer in (1, 2):
        page.wait_for(lambda layer=layer: page.state()["layer"] == str(layer))
        shown = page.model("tokens_d", "Array.from(it.data.value)")
        assert shown == pytest.approx([0.25] * 19 + [shown[-1]], abs=1e-5)
        for side, shift in (("a", 0), ("b", -0.25)):
            row = alpha[(alpha.layer == layer) & (alpha.name == "2,1")].iloc[0]
            value = page.model(f"tokens_{side}", "it.data.value[it.data.name.indexOf('2,1')]")
            assert value == pytest.approx(row.alpha + shift, rel=1e-5)
            assert f"layer {layer}" in page.title(f"grid_{side}")
        page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.wait_for(lambda: page.state()["layer"] == "0")
    assert "nothing of this at layer 0" in page.title("grid_b")
    assert complaints(browser) == []


def test_grids_that_differ_have_no_difference(two, browser):
    path, _ = two
    open_page(browser, path, "b=tiny pictures wide&layer=1")
    page = Page(browser)
    assert "not the same" in page.title("grid_d")
    page.click("grid_b", 3, 1)
    page.wait_for(lambda: page.state()["tokens"] == "1,3")
    assert complaints(browser) == []
