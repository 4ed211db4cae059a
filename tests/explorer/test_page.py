"""A branch's page in a real browser, from the disk and without a network: what it shows, and what changes it."""

import csv
import io
import re

import numpy as np
import pytest
from browser import complaints, open_page
from pages import Page
from selenium.webdriver.common.keys import Keys
from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.storage.zarr_store import open_store
from tokengeometry.tables import read

START = "layer=1&tokens=2,1&show=alpha"


@pytest.fixture
def page(finished, browser):
    """The page of the small study's branch, at layer 1 with one chosen token; it must not complain."""
    open_page(browser, finished.path("explorer", "tiny.pictures.test.html"), START)
    yield Page(browser)
    assert complaints(browser) == []


@pytest.fixture(scope="module")
def alpha(finished):
    return read(finished.branch / "alpha.csv").set_index(["layer", "name"])


def cells(page):
    """The first row of the table of chosen tokens, as it is on the screen."""
    script = """
    const model = Bokeh.documents[0].get_model_by_name("words")
    const row = Bokeh.index.get_one(model).el.shadowRoot.querySelector("tbody tr")
    return Array.from(row.cells, (cell) => cell.textContent)
    """
    return page.run(script)


def weighted_fit(finished, layer, row, first, last):
    """α and R² of a token over a range of ranks, from the store, by numpy."""
    store = open_store(finished.branch / f"spectra/layer_{layer:02d}.zarr")
    values, floor = store["eigenvalues"][:][row], store["floor"][:][row]
    rank = np.arange(1, len(values) + 1)
    used = resolved(values, floor, store.attributes["samples"]) & (rank >= first) & (rank <= last)
    x, y = np.log(rank[used]), np.log(values[used])
    slope, level = np.polyfit(x, y, 1, w=rank[used] ** -0.5)
    weight = 1 / rank[used]
    residual = weight @ (y - level - slope * x) ** 2
    return -slope, 1 - residual / (weight @ (y - np.average(y, weights=weight)) ** 2)


def test_the_page_shows_the_numbers_of_the_tables(page, alpha):
    row = alpha.loc[1, "2,1"]
    name, value, _, refit, r2, *_ = cells(page)
    assert name == "token 2,1"
    assert float(value) == pytest.approx(row.alpha, rel=1e-3)
    assert float(refit) == pytest.approx(row.alpha, abs=1e-3)
    assert float(r2) == pytest.approx(row.r2, abs=1e-3)
    spatial = alpha.loc[1][alpha.loc[1].kind == "spatial"]
    low, high = spatial.alpha.idxmin(), spatial.alpha.idxmax()
    assert re.search(rf"from [\d.]+ \(token {low}\) to [\d.]+ \(token {high}\)", page.said("words"))


def test_a_corrected_value_has_its_interval(finished, browser, alpha):
    # So few images outside a fold correct α of the pooled tokens only.
    open_page(
        browser, finished.path("explorer", "tiny.pictures.test.html"), "layer=1&tokens=pooled&show=alpha_corrected"
    )
    row = alpha.loc[1, "pooled"]
    _, value, interval, *_ = cells(Page(browser))
    assert float(value) == pytest.approx(row.alpha_corrected, rel=1e-3)
    assert [float(end) for end in interval.split(" to ")] == pytest.approx([row.low, row.high], rel=1e-3)


def test_every_quantity_is_that_of_its_table(page, finished):
    tables = {"alpha": "alpha", "rankme": "rankme", "token_norm": "mean"}
    for quantity, column in tables.items():
        page.run("Bokeh.documents[0].get_model_by_name('show').value = arguments[0]", quantity)
        shown = page.model("tokens", "[Array.from(it.data.name), Array.from(it.data.value)]")
        table = read(finished.branch / f"{quantity}.csv")
        expected = table[table.layer == 1].set_index("name")[column]
        found = {name: value for name, value in zip(*shown, strict=True) if value is not None and value == value}
        assert found == pytest.approx(expected.dropna().to_dict(), rel=1e-6)


def test_the_slider_and_the_keys_change_the_layer_of_every_chart(page, alpha):
    page.press(Keys.ARROW_RIGHT)
    page.wait_for(lambda: page.state()["layer"] == "2")
    assert page.model("layer", "it.value") == 2
    for chart in ("token_grid", "spectrum", "correlation"):
        assert "layer 2" in page.title(chart)
    assert float(cells(page)[1]) == pytest.approx(alpha.loc[2, "2,1"].alpha, rel=1e-3)
    handle = """
    const view = Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name("layer"))
    return view.el.shadowRoot.querySelector("[role=slider]")
    """
    page.run(handle).send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.wait_for(lambda: page.state()["layer"] == "0")
    # CLS is not there, and a token that is always black has no α.
    page.click("token_grid", 0, 0)
    page.wait_for(lambda: page.state()["tokens"] == "0,0")
    assert "constant" in page.said("words")
    assert "no α" in page.title("spectrum")


def test_space_plays(page):
    page.press(" ")
    page.wait_for(lambda: page.state()["layer"] == "2")
    page.wait_for(lambda: page.state()["layer"] == "0")
    page.press(" ")
    page.wait_for(lambda: page.model("play", "it.active") is False)


def test_a_click_chooses_a_token_and_shift_another(page, finished):
    page.click("token_grid", 3, 1)
    page.wait_for(lambda: page.state()["tokens"] == "1,3")
    assert cells(page)[0] == "token 1,3"
    assert "token 1,3" in page.title("correlation")
    assert page.model("curves", "it.data.words").count("token 1,3") == 1
    page.press(Keys.ARROW_LEFT, held=[Keys.SHIFT])
    page.wait_for(lambda: page.state()["tokens"] == "1,2")
    page.run("Bokeh.documents[0].get_model_by_name('named').value = 'cls; 3,3'")
    page.wait_for(lambda: page.state()["tokens"] == "cls;3,3")
    assert page.model("tokens", "it.selected.indices") == [0, 16]


def test_every_token_is_at_its_place_in_the_colour_of_its_value(page, alpha):
    """At layer 0, where a token has none, and at another one."""
    for layer in (1, 0):
        page.run(f"Bokeh.documents[0].get_model_by_name('layer').value = {layer}")
        page.wait_for(lambda layer=layer: page.state()["layer"] == str(layer))
        low, high, palette, none = page.model("mapper", "[it.low, it.high, it.palette, it.nan_color]")
        for row in range(4):
            for column in range(4):
                value = alpha.loc[layer, f"{row},{column}"].alpha
                expected = none if np.isnan(value) else palette[min(int((value - low) / (high - low) * 256), 255)]
                # Beside the middle, where a chosen token has no outline.
                shown = page.colour("token_grid", column + 0.1, row + 0.1)
                close = np.abs(np.subtract(*(list(bytes.fromhex(its[1:7])) for its in (shown, expected))))
                assert close.max() <= 4, (layer, row, column)


def test_correlations_on_the_grid_are_those_of_the_store(page, finished):
    matrix = open_store(finished.branch / "correlations/layer_01.zarr")["correlation"][:]
    own = 1 + 2 * 4 + 1
    shown = np.array(page.model("tokens_here", "Array.from(it.data.value, (r) => (isNaN(r) ? 9 : r))"))
    assert shown[own] == 9
    others = np.arange(17) != own
    np.testing.assert_allclose(shown[others], matrix[own][others], atol=0.5 / 127 + 1e-6)


def test_a_brush_over_places_chooses_in_the_plane_and_the_other_way_round(page):
    page.drag(page.at("token_grid", -0.45, -0.45), page.at("token_grid", 0.7, 0.7), page.at("token_grid", 1.45, 0.45))
    page.wait_for(lambda: page.state()["tokens"] == "0,0;0,1")
    x, y = (page.model("plane_tokens", f"Array.from(it.data.{axis})") for axis in "xy")
    names = page.model("tokens", "it.data.name")
    goal = names.index("3,0")
    reach_x, reach_y = (0.08 * (max(its[1:17]) - min(its[1:17])) for its in (x, y))
    ring = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    page.drag(*(page.at("umap", x[goal] + reach_x * across, y[goal] + reach_y * up) for across, up in ring))
    inside = {
        names[row]
        for row in range(1, 17)
        if abs(x[row] - x[goal]) < 0.9 * reach_x and abs(y[row] - y[goal]) < 0.9 * reach_y
    }
    assert "3,0" in inside
    page.wait_for(lambda: inside <= set(page.state()["tokens"].split(";")))
    page.wait_for(lambda: page.model("chosen", "it.data.x.length") == len(page.state()["tokens"].split(";")))


def test_a_dragged_range_is_fitted_in_the_page(page, finished):
    def is_fitted(first, last):
        page.wait_for(lambda: page.state()["ranks"] == f"{first}-{last}")
        expected = weighted_fit(finished, 1, 1 + 2 * 4 + 1, first, last)
        assert [float(cell) for cell in cells(page)[3:5]] == pytest.approx(expected, abs=1e-3)
        assert page.model("range_slider", "it.value") == [first, last]

    middle = page.model("spectrum", "Math.sqrt(it.y_range.start * it.y_range.end)")
    page.drag(page.at("spectrum", 15, middle), page.at("spectrum", 12, middle), page.at("spectrum", 10, middle))
    is_fitted(2, 10)
    page.run("Bokeh.documents[0].get_model_by_name('range_slider').value = [4, 20]")
    is_fitted(4, 20)


def test_a_link_leads_to_the_same_view(page, browser, finished):
    link = "layer=2&show=rankme&tokens=cls;0,3&ranks=3-12&scale=layer&behind=mean"
    open_page(browser, finished.path("explorer", "tiny.pictures.test.html"), link)
    page = Page(browser)
    assert page.state() == dict(pair.split("=") for pair in link.split("&"))
    assert [page.model(name, "it.active") for name in ("scale", "behind")] == [1, 1]
    assert page.model("mean_image", "it.visible") is True
    assert page.title("token_grid").endswith("layer 2")


def test_what_is_seen_can_be_saved(page, alpha):
    page.run(
        "window.saved = []; URL.createObjectURL = (blob) => { saved.push(blob); return '#' + location.hash.slice(1) }"
    )
    for name, count in (("save_csv", 1), ("save_png", 6), ("save_svg", 11)):
        script = "return Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name(arguments[0])).el.shadowRoot"
        page.run(f"{script}.querySelector('button')", name).click()
        page.wait_for(lambda count=count: page.run("return saved.length") == count)
    texts = page.browser.execute_async_script(
        "const done = arguments[0]; Promise.all([saved[0].text(), saved[10].text()]).then(done)"
    )
    assert page.run("return saved[3].type") == "image/png"
    assert texts[1].startswith("<svg")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(texts[0]))}
    assert float(rows["2,1"]["alpha"]) == pytest.approx(alpha.loc[1, "2,1"].alpha, rel=1e-6)
    assert rows["2,1"]["correlation_with_2,1"] == ""
    assert len(rows) == 20


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (800, 1100)])
def test_nothing_is_cut_off_at_any_size(page, size):
    whole = """
    return document.documentElement.scrollWidth <= innerWidth
      && ["token_grid", "trajectory", "spectrum", "correlation", "umap"].every((name) => {
        const box = Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name(name)).el.getBoundingClientRect()
        return 0 <= box.left && box.left < box.right && box.right <= innerWidth && box.height >= 300
      })
    """

    def resize(width, height):
        page.browser.set_window_size(width, height)
        page.wait_for(lambda: page.run("return innerWidth") == width)

    try:
        resize(*size)
        page.wait_for(lambda: page.run(whole))
    finally:
        resize(1400, 1000)


def test_charts_have_words_for_those_who_do_not_see_them(page):
    for name in ("token_grid", "trajectory", "spectrum", "correlation", "umap"):
        element = "Bokeh.index.get_one(it).el"
        assert page.model(name, f"{element}.getAttribute('role')") == "img"
        assert len(page.model(name, f"{element}.getAttribute('aria-label')")) > 40
    assert "does not hold" in page.run("return Bokeh.documents[0].get_model_by_name('details').text")
