"""The page of reductions in a real browser, from the disk and without a network: it shows what the table has."""

import numpy as np
import pytest
from browser import complaints, open_page
from drawing import GRID, reduced_places, reduction_table
from pages import Page
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from tokengeometry.explorer.reduction import reduction_page

BUDGETS = (0.75, 0.5)
POLICIES = ("tome", "tome-alpha", "random_prune")
RUNS = [(policy, budget) for policy in POLICIES for budget in BUDGETS]
SCHEDULES = {(policy, budget): [index, *[2] * 7] for index, (policy, budget) in enumerate(RUNS)}
COLUMNS = "Object.fromEntries(Object.entries(it.data).map(([name, its]) => [name, Array.from(its)]))"


def table():
    its = reduction_table()
    its["share"] = its.budget - 0.003
    return its


def held():
    """Places and sizes of every run: policies that merge neighbours, and one that drops the first places."""
    places, sizes = reduced_places()
    of = {"tome": "tome-alpha", "tome-alpha": "tome-alpha", "random_prune": "alpha_prune"}
    return [{(policy, budget): its[of[policy]] for policy, budget in RUNS} for its in (places, sizes)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("page") / "vit.pictures.test.reduction.html"
    found.write_text(reduction_page("vit pictures test", table(), SCHEDULES, *held(), GRID, 400))
    return found


@pytest.fixture
def page(path, browser):
    """The page at its start; it must not complain."""
    open_page(browser, path)
    yield Page(browser)
    assert complaints(browser) == []


def shown(page, name):
    return page.model(name, COLUMNS)


def choose(page, name, value):
    page.run("Bokeh.documents[0].get_model_by_name(arguments[0]).value = arguments[1]", name, value)


@pytest.mark.parametrize("over", ["share", "speed"])
@pytest.mark.parametrize("score", ["knn_cls", "cosine_cls"])
def test_lines_are_of_the_tables_numbers(page, score, over):
    choose(page, "score", score)
    choose(page, "over", over)
    means = table().groupby(["policy", "budget"]).mean()
    for policy in POLICIES:
        curve, rows = shown(page, policy), means.loc[policy].loc[list(BUDGETS)]
        assert curve["x"] == pytest.approx(rows[over].tolist())
        for name, column in (("y", score), ("low", f"{score}_low"), ("high", f"{score}_high")):
            # A cosine is drawn by its distance to 1.
            at = np.array(curve[name])
            assert (1 - 10**-at if score == "cosine_cls" else at) == pytest.approx(rows[column].tolist(), abs=1e-6)
        assert [float(value) for value in curve["value"]] == pytest.approx(rows[score].tolist(), rel=1e-3)
        assert curve["interval"][1] == f"{rows[f'{score}_low'][0.5]:.4g} to {rows[f'{score}_high'][0.5]:.4g}"
    # The whole model's cosine, 1, is nowhere on that axis.
    assert page.model("whole", "it.visible && it.location") == (0.9 if score == "knn_cls" else False)


def test_it_begins_with_the_schedule_from_the_geometry_in_the_middle(page):
    assert page.state() == {
        "score": "cosine_cls",
        "over": "share",
        "policy": "tome-alpha",
        "budget": "0.5",
        "block": "1",
    }
    assert shown(page, "blocks")["r"] == SCHEDULES["tome-alpha", 0.5]
    assert shown(page, "blocks")["left"] == (GRID[0] * GRID[1] - np.cumsum(SCHEDULES["tome-alpha", 0.5])).tolist()


def test_another_block_shows_its_places_and_the_lines_between_them(page):
    places, sizes = (its["tome-alpha", 0.5] for its in held())
    seen = []
    for block in (1, 5, 8):
        choose(page, "layer", block)
        cells, edges = shown(page, "cells"), shown(page, "edges")
        assert cells["value"] == pytest.approx(sizes[block - 1].tolist())
        assert cells["token"] == (places[block - 1] + 1).tolist()
        there = places[block - 1].reshape(GRID)
        assert len(edges["x0"]) == (there[1:] != there[:-1]).sum() + (there[:, 1:] != there[:, :-1]).sum()
        seen.append(cells["value"])
    assert seen[0] != seen[1] != seen[2]
    page.press(Keys.ARROW_LEFT)
    page.wait_for(lambda: page.state()["block"] == "7")
    assert "At block 7, 2 tokens go" in page.said("words")


def test_places_that_are_gone_are_grey_and_counted(page):
    choose(page, "policy", "random_prune")
    choose(page, "layer", 8)
    cells = shown(page, "cells")
    assert [value is None for value in cells["value"]] == [place < 7 for place in range(GRID[0] * GRID[1])]
    assert cells["together"][:8] == [*["gone"] * 7, "alone"]
    assert "7 places are gone" in page.said("words")


def test_a_point_is_a_policy_at_a_budget(page):
    curve = shown(page, "random_prune")
    page.click("tradeoff", curve["x"][0], curve["y"][0])
    page.wait_for(lambda: page.state()["policy"] == "random_prune")
    assert page.state()["budget"] == "0.75"
    assert shown(page, "blocks")["r"] == SCHEDULES["random_prune", 0.75]
    assert [page.model(name, "it.value") for name in ("policy", "budget")] == ["random_prune", "0.75"]


def test_the_legend_hides_a_line_with_its_intervals(page):
    assert page.model("legend", "it.click_policy") == "hide"
    hidden = "it.items.map(({renderers}) => renderers.map(({glyph}) => glyph.type))"
    assert page.model("legend", hidden) == [["Line", "Segment", "Scatter"]] * 3


def test_pointing_at_a_place_outlines_what_is_held_with_it(page):
    choose(page, "layer", 8)
    page.wait_for(lambda: page.state()["block"] == "8")
    chain = ActionChains(page.browser, duration=20)
    chain.w3c_actions.pointer_action.move_to_location(*page.at("map", 1, 0))
    chain.perform()
    token = held()[0]["tome-alpha", 0.5][7]
    page.wait_for(lambda: len(shown(page, "held")["x"]) == (token == token[1]).sum())


def test_an_address_leads_to_its_view(path, browser):
    open_page(browser, path, "score=knn_cls&over=speed&policy=tome&budget=0.75&block=3")
    page = Page(browser)
    page.wait_for(lambda: shown(page, "blocks")["r"] == SCHEDULES["tome", 0.75])
    assert page.model("layer", "it.value") == 3
    assert page.title("tradeoff") == "Accuracy of k-NN on CLS"
    assert complaints(browser) == []
