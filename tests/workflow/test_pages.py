"""The pages: their links and paths lead somewhere, their commands are ones, and no column or key is left out."""

import re
import shutil
import sys

import numpy as np
import pytest
import yaml
from small_study import REPOSITORY, SMALL, Workflow
from tokengeometry.geometry import statistics
from tokengeometry.tables import read, train_test_table

PAGES = sorted(
    str(file.relative_to(REPOSITORY))
    for pattern in ("*.md", "docs/*.md", "results/README.md")
    for file in REPOSITORY.glob(pattern)
)
TEXTS = {page: (REPOSITORY / page).read_text() for page in PAGES}
# Files that the reader is to write.
WRITTEN = {"mine.yaml", "pilot.yaml"}


def anchors(text):
    """What a link may name after #: `<a id>`, and headings as forges turn them into anchors."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return set(re.findall(r'<a id="(.*?)">', text)) | {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


def section(page, heading):
    """The text below a heading that begins so, up to the next of its level."""
    (found,) = (part for part in re.split(r"^## ", TEXTS[page], flags=re.MULTILINE) if part.startswith(heading))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_place_in_it(page):
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        assert "://" not in target, target
        path, _, place = target.partition("#")
        file = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert file.is_file(), target
        if place:
            assert place in anchors(file.read_text()), target


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_the_repository_is_there(page):
    named = re.findall(r"`((?:tests|workflow|bench|envs|slurm|profiles)/[\w./-]*\w\.\w+)", TEXTS[page])
    assert [path for path in named if "NAME" not in path and not (REPOSITORY / path).is_file()] == []


def commands():
    """Every call of snakemake in the pages, as (page, words)."""
    for page, text in TEXTS.items():
        for line in re.findall(r"(?:^|`|&& )(snakemake -[^`\n]*|snakemake [a-z][^`\n]*)", text, re.MULTILINE):
            yield page, re.sub(r"\s+#.*| \|.*|\\$", "", line).strip()


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_every_command_names_files_and_targets_that_are_there(page, command):
    rules = "".join(
        file.read_text() for file in [REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/rules/**/*.smk")]
    )
    targets = set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))
    # docs/module.md has its rules under this prefix.
    before, _, after = command.replace(" geometry_", " ").partition(" --configfile ")
    for file in after.split():
        assert file in WRITTEN or (REPOSITORY / file).is_file(), command
    # Options and their values aside, what is left are targets.
    valued = r"--(?:cores|profile|resources|set-resources|config|rulegraph|dag|workflow-profile|report) (?:'[^']*'|\S+)"
    words = re.sub(valued, "", before).split()[1:]
    assert {word for word in words if not word.startswith("-") and "=" not in word} <= {*targets, "TARGET"}, command


def documented(text):
    """The columns that a section explains: `code` in the cells before the last of its tables' rows."""
    rows = re.findall(r"^\|(.*)\|[^|]*\|$", text.replace("\\|", "/"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


COMMON = {"layer", "token", "name", "kind", "row", "column", "reason"}


def test_every_column_of_every_table_is_explained(finished, rng):
    alpha = read(finished.branch / "alpha.csv")
    tables = {
        "correlation.csv": read(finished.branch / "correlation.csv"),
        "clusters.csv": read(finished.branch / "clusters.csv"),
        "claims.csv": read(finished.branch / "claims.csv"),
        "dimensions.csv": read(finished.branch / "dimensions.csv"),
        "summary.csv": train_test_table(alpha, alpha),
    }
    for name, table in tables.items():
        assert documented(section("docs/tables.md", f"`{name}`")) == set(table.columns), name
    means = {name: set(read(finished.branch / name).columns) for name in ("alpha_means.csv", "fit_ranges.csv")}
    assert documented(section("docs/tables.md", "`alpha_means.csv` and `fit_ranges.csv`")) == set.union(*means.values())
    columns = set(alpha.columns) | set(read(finished.branch / "token_norm.csv").columns)
    for name in statistics.names():
        if name != "power_law" and hasattr(statistics.load(name), "of_spectrum"):
            columns |= set(statistics.load(name).of_spectrum(rng.random((2, 9)), 0.0, 50))
    assert documented(section("docs/tables.md", "Statistics")) == columns - COMMON
    assert documented(TEXTS["docs/tables.md"].split("\n## ")[0]) >= COMMON


def leaves(settings, path=""):
    for key, value in settings.items():
        below = f"{path}.{key}" if path else key
        if isinstance(value, dict) and key not in ("eigenspectrum", "arguments", "weights"):
            yield from leaves(value, below)
        else:
            yield below


def test_every_key_of_the_configuration_is_explained():
    page = TEXTS["docs/configuration.md"]
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    for key in leaves(config):
        key = (
            key.replace("dinov2_vits14", "NAME").replace("fashion_mnist", "NAME").replace("splits.test", "splits.SPLIT")
        )
        assert re.search(rf"^\|.*`{re.escape(key)}`.*\|", page, re.MULTILINE), key
    for option in ("name", "datasets.NAME.white", "datasets.NAME.thumbnails"):
        assert f"| `{option}` | optional" in page


def test_every_word_of_the_glossary_that_a_page_links_to_is_one_of_its_words():
    words = set(re.findall(r'^<a id="(\w+)"></a>\*\*', TEXTS["docs/glossary.md"], re.MULTILINE))
    linked = {word for text in TEXTS.values() for word in re.findall(r"glossary\.md#(\w+)", text)}
    assert linked
    assert linked <= words


def test_the_statistic_that_contributing_shows_is_one(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", section("CONTRIBUTING.md", "A statistic"), re.DOTALL)
    (tmp_path / "entropy.py").write_text(code)
    monkeypatch.setattr(statistics, "__path__", [*statistics.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{statistics.__name__}.entropy", raising=False)
    spectra = np.array([[4.0, 2.0, 2.0, 1e-9], [0.0, 0.0, 0.0, 0.0]])
    found = statistics.load("entropy").of_spectrum(spectra, 1e-6, 50)
    np.testing.assert_allclose(found["entropy"], [1.5 * np.log(2), np.nan])
    assert found["reason"].tolist() == ["", "constant"]


def test_deleting_a_study_as_the_answer_says_leaves_models_and_data(finished, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "copy"), SMALL)
    (answer,) = re.findall(r"\*\*How do I delete a study\?\*\*(.*?)\n\n", TEXTS["docs/faq.md"], re.DOTALL)
    before, _, _ = answer.partition("not all of `results/`")
    for path in re.findall(r"`results/([\w./]+)`", before):
        place = workflow.path(path.replace("MODEL", "tiny"))
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert sorted(path.name for path in workflow.path().iterdir()) == ["data", "models"]
    rules = {rule for rule, _ in workflow.planned()}
    assert "pixels" in rules
    assert rules.isdisjoint({"model", "dataset"})


def test_every_answer_is_short_and_leads_further():
    answers = re.findall(r"^\*\*(.*?)\*\*(.*?)(?=\n\n|\Z)", TEXTS["docs/faq.md"], re.MULTILINE | re.DOTALL)
    assert len(answers) == TEXTS["docs/faq.md"].count("?** ")
    for question, answer in answers:
        prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", answer)
        assert len(re.findall(r"[.!?](?=\s|$)", prose)) <= 5, question
        assert "](" in answer, question
