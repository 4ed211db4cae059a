"""The target reduction on the small study: what comes out, and what a change of its settings runs again."""

import copy
import json

import pytest
import timm
import tokengeometry
import torch
from browser import complaints, open_page
from pages import Page
from small_study import SMALL, Workflow
from test_pages import documented, section
from test_reduction_runs import SECTION
from tokengeometry.reduction import flops
from tokengeometry.tables import read

# The small study has α of two of its twelve layers: no schedule from the geometry.
TOME = SECTION | {"policies": ["tome", "tome-exponential"], "budgets": [0.5]}
# What runs for a policy at a budget.
OF_A_RUN = {"schedule", "tokens", "scores", "speed", "table", "figures", "page"}
# The page's parts have roots of their own.
PARTS = """
const within = (root) => Array.from(root.querySelectorAll("*"), (it) => it.shadowRoot).filter(Boolean)
const parts = (root) => [root, ...within(root).flatMap(parts)]
"""
TEXT = PARTS + "return parts(document).map((root) => root.textContent).join(' ')"
LINK = PARTS + "parts(document).map((root) => root.querySelector('h1 a')).find(Boolean).click()"


def configured(workflow, section_, **changes):
    workflow.configure(copy.deepcopy(SMALL) | {"reduction": section_} | changes)
    return workflow


@pytest.fixture(scope="module")
def reduced(finished, tmp_path_factory):
    """The small study with two schedules, one of them tuned, at one budget."""
    workflow = Workflow(finished.copy(tmp_path_factory.mktemp("reduced") / "study"), SMALL)
    configured(workflow, TOME).run("reduction")
    return workflow


def test_the_tables_have_what_the_pages_explain(reduced):
    table, comparison = (read(reduced.branch / f"{name}.csv") for name in ("reduction", "reduction_comparison"))
    assert table.policy.tolist() == ["none", "tome", "tome-exponential"]
    assert table.share.tolist() == pytest.approx([1, 0.5, 0.5], rel=0.02)
    assert (table.cosine_cls_low <= table.cosine_cls).all()
    assert set(table.columns) <= documented(section("docs/tables.md", "`reduction.csv`"))
    assert set(comparison.columns) == documented(section("docs/tables.md", "`reduction_comparison.csv`"))
    for figure in ("reduction_tradeoff", "reduction_places"):
        assert (reduced.branch / "figures" / f"{figure}.svg").stat().st_size > 3000


def test_the_page_stands_beside_the_branchs_and_leads_to_it(reduced, browser):
    open_page(browser, reduced.path("explorer", "tiny.pictures.test.reduction.html"))
    page = Page(browser)
    assert complaints(browser) == []
    table = read(reduced.branch / "reduction.csv")
    assert page.model("tome", "it.data.x[0]") == pytest.approx(table.share[1])
    (r,) = json.loads((reduced.branch / "schedule.json").read_text())["r"].values()
    assert page.model("blocks", "Array.from(it.data.r)") == r
    assert "20 images" in page.run(TEXT)
    browser.execute_script(LINK)
    page.wait_for(lambda: browser.current_url.split("#")[0].endswith("tiny.pictures.test.html"))
    assert Page(browser).title("token_grid")


def test_the_schedule_is_ready_for_a_model_of_timm(reduced):
    path = reduced.branch / "schedule.json"
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).eval()
    with torch.inference_mode(), tokengeometry.reduce(model, path, budget=0.5):
        tokens = model.forward_features(torch.zeros(1, 3, 64, 64))
    schedule = json.loads(path.read_text())["r"]["0.5"]
    assert tokens.shape[1] == 1 + flops.left(16, schedule)[-1]


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, set()),
        ({"scores": TOME["scores"] | {"neighbors": 2}}, {"scores", "table", "figures", "page"}),
        ({"speed": TOME["speed"] | {"repeats": 3}}, {"speed", "table", "figures", "page"}),
        ({"tuning": TOME["tuning"] | {"steps": 9}}, set()),
        ({"tuning": TOME["tuning"] | {"images": 2}}, OF_A_RUN),
        ({"budgets": [0.5, 0.8]}, OF_A_RUN),
    ],
)
def test_a_change_runs_what_uses_it_again(reduced, changes, rules):
    planned = configured(reduced, TOME | changes).planned("reduction")
    assert {rule for rule, _ in planned} - {"reduction"} == {f"reduction_{rule}" for rule in rules}
    budgets = {dict(wildcards).get("budget") for _, wildcards in planned} - {None, "100"}
    assert budgets <= ({"080"} if "budgets" in changes else {"050"})


def test_the_rest_of_the_study_stays_as_it_was(reduced):
    assert configured(reduced, TOME).planned() == set()


@pytest.mark.parametrize(
    ("section_", "said"),
    [
        (None, "error: reduction: the configuration has no such section"),
        (SECTION, "error: models.tiny.layers: a reduction by the geometry needs all layers from 1 to 12; 3 is missing"),
    ],
)
def test_what_is_missing_is_said_in_a_line(reduced, section_, said):
    if section_ is None:
        reduced.configure(SMALL)
    else:
        configured(reduced, section_)
    process = reduced.run("reduction", "--dry-run", check=False)
    assert process.returncode
    assert said in process.stdout
