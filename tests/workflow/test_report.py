"""Snakemake's report of the small study, in a browser without a network: all figures and tables, with captions."""

import base64
import hashlib
import json
import re
import zipfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from browser import complaints, open_page
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from small_study import OFFLINE, REPOSITORY

PAPER, FURTHER, TABLES, EXPLORER, RUN = "Figures of the paper", "Further figures", "Tables", "Explorer", "Run"
BRANCH = "tiny, pictures, test"
# What the study is of.
MADE_OF = ["tiny", "pictures, test"]
ENTRIES = "nav a, nav li"
TITLES = "return Array.from(document.querySelectorAll('nav tbody tr'), (row) => row.cells[0].innerText.trim())"
# At once, and not while a next step looks at what was there before.
MENU = "ReactDOM.flushSync(() => app.setView({navbarMode: 'menu'}))"
# What moves is not where it was when the mouse gets there.
STILL = "document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>')"


@pytest.fixture(scope="module")
def reports(finished, tmp_path_factory):
    """The report as a zip file, unpacked, and as one page: each is built without a network."""
    folder = tmp_path_factory.mktemp("reports")
    for name in ("report.zip", "report.html"):
        finished.run("--report", folder / name, environment=OFFLINE)
    with zipfile.ZipFile(folder / "report.zip") as archive:
        archive.extractall(folder)
    return {"zip": folder / "report" / "report.html", "html": folder / "report.html"}


@pytest.fixture(params=["zip", "html"])
def report(request, reports, browser):
    open_page(browser, reports[request.param])
    browser.execute_script(STILL)
    wait_for(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "nav"))
    return reports[request.param]


def on_disk(finished):
    """The study's figures, tables and pages, its model and its split, as the report names them."""
    figures = [*finished.path().rglob("figures/*.png")]
    tables = [*finished.path().rglob("*.csv")]
    pages = [page for page in finished.path("explorer").glob("*.html") if page.stem != "index"]
    run = [finished.path("models", "tiny", "model.json"), finished.path("data", "pictures", "splits", "test.json")]
    return Counter(str(file.relative_to(finished.directory)) for file in figures + tables + pages + run)


def labels_of(path):
    """Of what a file is, beside its title."""
    if path.endswith("model.json"):
        return {"model": "tiny"}
    branch = {"data set": "pictures", "model": "tiny", "split": "test"} if re.search("[/.]test[/.]", path) else {}
    return {label: branch[label] for label in branch if label != "model" or "splits/" not in path}


def wait_for(browser, holds):
    """What a function returns once it is true; an element that was drawn anew meanwhile is looked for again."""
    wait = WebDriverWait(browser, 60, poll_frequency=0.1, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(lambda _: holds())


def click(browser, selector, text=None):
    """Click the element that a selector finds; of several, the first with this text."""

    def clicked():
        elements = browser.find_elements(By.CSS_SELECTOR, selector)
        found = next((element for element in elements if text in (None, element.text.strip())), None)
        if found:
            found.click()
        return found

    wait_for(browser, clicked)


def titles(browser, category, place=None):
    """Those of the results that a person finds in a category; under a place, where it has several."""
    browser.execute_script(MENU)
    click(browser, ENTRIES, category)
    if place:
        click(browser, ENTRIES, place)
    return wait_for(browser, lambda: browser.execute_script(TITLES))


def click_result(browser, number, link):
    """Click a result's first link, which shows it, or its second one, which leads to its caption."""
    click(browser, f"nav tbody tr:nth-child({number}) a:nth-of-type({link})")


@pytest.mark.parametrize(
    ("rules", "call", "folder"),
    [
        ("figures", "pictures", "figures"),
        ("tables", "reported", "tables"),
        ("explorer", "reported", "explorer"),
        ("fetch", "reported", "run"),
    ],
)
def test_every_figure_and_table_of_the_rules_has_a_caption_and_no_caption_is_left_over(rules, call, folder):
    """Those of a data set's two splits too, which the small study has not."""
    text = (REPOSITORY / f"workflow/rules/{rules}.smk").read_text()
    captions = set()
    for words in re.findall(rf"{call}\(([^()]*)\)", text):
        file = re.search('"(.*?)"', words)[1]
        own = re.search(r'caption="(\w+)"', words)
        captions.add(own[1] if own else Path(file).stem.replace("{statistic}", "statistic"))
    assert captions == {path.stem for path in (REPOSITORY / "workflow/report" / folder).glob("*.rst")}


def test_a_person_finds_every_figure_and_table_once(finished, report, browser):
    places = {PAPER: [BRANCH, "All branches"], FURTHER: [None], TABLES: [None], EXPLORER: [None], RUN: MADE_OF}
    found = {(category, place): titles(browser, category, place) for category, its in places.items() for place in its}
    assert all(len(set(its)) == len(its) for its in found.values())
    counts = {place: len(its) for place, its in found.items()}
    assert sum(counts.values()) == sum(on_disk(finished).values())
    assert counts[TABLES, None] == len(list(finished.branch.glob("*.csv")))
    assert counts[EXPLORER, None] == 1
    assert [found[RUN, place] for place in MADE_OF] == [["Model and weights"], ["Split and its images"]]
    assert counts[PAPER, "All branches"] == len(list(finished.path("figures").glob("*.png"))) == 1
    listed = [
        path
        for name in places
        for path in browser.execute_script("return Object.values(categories[arguments[0]]).flat()", name)
    ]
    assert Counter(listed) == on_disk(finished)
    assert complaints(browser) == []


def test_the_report_holds_the_files_themselves(finished, report, browser):
    for path, result in browser.execute_script("return results").items():
        expected = (finished.directory / path).read_bytes()
        place = result["data_uri"]
        held = (
            base64.b64decode(place.split("base64,")[1])
            if place[:5] == "data:"
            else (report.parent / place).read_bytes()
        )
        assert held == expected, path


def test_a_figure_is_drawn_with_its_caption_beside_it(report, browser):
    drawn = """
        const [image] = [...document.querySelectorAll("img")].filter(image => !image.closest("nav"));
        return image && image.complete && image.naturalWidth > 500 && !arguments[0].includes(image.src) && image.src;
    """
    seen = []
    for number in range(1, 6):
        titles(browser, PAPER, BRANCH)
        click_result(browser, number, 1)
        seen.append(wait_for(browser, lambda: browser.execute_script(drawn, seen)))
    titles(browser, PAPER, BRANCH)
    click_result(browser, 1, 2)
    words = "Figure 1A (CIFAR-10 test)"
    wait_for(browser, lambda: words in browser.find_element(By.TAG_NAME, "nav").text)
    assert complaints(browser) == []


def test_every_caption_says_what_how_and_how_to_read(report, browser):
    results = browser.execute_script("return results")
    for path, result in results.items():
        caption = result["caption"]
        assert "system-message" not in caption, path
        assert re.findall("<strong>(.*?)</strong>", caption)[:3] == [
            "What it shows.",
            "How it was computed.",
            "How to read it.",
        ], path
        found = {label: value for label, value in result["labels"].items() if label != "result"}
        assert found == labels_of(path)
    for table in ("rankme.csv", "figures/rankme_maps.png"):
        caption = results[f"results/tiny/pictures/test/{table}"]["caption"]
        assert "how many directions a representation spreads over" in caption
        assert "Garrido, Balestriero, Najman" in caption


def test_the_run_has_its_weights_checksum_and_its_number_of_images(finished, report, browser):
    model, split = (
        next(result for path, result in browser.execute_script("return results").items() if path.endswith(name))
        for name in ("model.json", "test.json")
    )
    held = (
        base64.b64decode(model["data_uri"].split("base64,")[1])
        if "base64," in model["data_uri"]
        else (report.parent / model["data_uri"]).read_bytes()
    )
    weights = finished.path("models", "tiny", "weights.safetensors").read_bytes()
    assert json.loads(held)["sha256"] == hashlib.sha256(weights).hexdigest()
    assert "The study measures 24 of them." in " ".join(split["caption"].split())
    assert "with the seed 3." in " ".join(split["caption"].split())


def test_figures_have_the_papers_numbers(report, browser):
    """Those of the table in docs/paper.md."""
    rows = re.findall(r"^\| ([\dA-C, ]+?) \|.*\|(.*)\|$", (REPOSITORY / "docs/paper.md").read_text(), re.MULTILINE)
    expected = {}
    for numbers, files in rows:
        for file in re.findall(r"`(.*?/\w+)\.png`", files):
            kind = "study" if file.startswith("results/paper/figures") else "branch"
            expected.setdefault((kind, Path(file).name), []).append(numbers)
    found = {}
    for path, result in browser.execute_script("return results").items():
        if " · " in result["labels"]["result"]:
            kind = "branch" if "/test/" in path else "study"
            found[kind, Path(path).stem] = result["labels"]["result"].split(" · ")[0]
    assert len(found) == 6
    assert found == {figure: ", ".join(expected[figure]) for figure in found}


def test_the_head_says_what_the_study_is_and_the_charts_what_it_took(report, browser):
    head = browser.find_element(By.CSS_SELECTOR, "div.prose").text
    for word in ("tiny: vit_tiny_patch16_224, 64 pixels", "layers 0, 1, 2", "split test, 24 images", "Ranks 2 to 15"):
        assert word in head
    for package in ("torch", "numpy", "snakemake"):
        assert f"{package} {version(package)}" in head
    # What the run took: two charts, whose programs are in the report too.
    click(browser, ENTRIES, "Statistics")
    wait_for(browser, lambda: len(browser.find_elements(By.TAG_NAME, "canvas")) == 2)
    assert complaints(browser) == []
