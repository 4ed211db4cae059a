"""The workflow as a module of another one, which has a prefix for its rules and a configuration of its own."""

import copy
import os
import re
import subprocess
import sys
import zipfile
from pathlib import PurePath

import numpy as np
import pandas as pd
import pytest
import yaml
from small_study import REPOSITORY, SMALL, write_pictures
from tokengeometry.storage import zarr_store

MODULE = f"""
from pathlib import Path


configfile: "own.yaml"


module geometry:
    snakefile:
        "{REPOSITORY / "Snakefile"}"
    config:
        config["geometry"]


use rule * from geometry as geometry_*
"""
OWN_RULE = """

rule steepest:
    default_target: True
    input:
        alpha=expand(
            rules.geometry_alpha_table.output.table,
            model="tiny",
            dataset="pictures",
            split="test",
        ),
        figures=rules.geometry_figures.input,
    output:
        "steepest.txt",
    run:
        import pandas

        table = pandas.read_csv(input.alpha[0])
        Path(output[0]).write_text(table.loc[table.alpha.idxmax(), "name"])
"""


def run(directory, *arguments, check=True):
    process = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=directory,
        # Nothing but Snakemake itself: the module finds its package.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert not check or process.returncode == 0, process.stdout
    return process


def importing(directory, snakefile=MODULE + OWN_RULE, **changes):
    """Another project's workflow, which takes in the small study."""
    directory.mkdir()
    write_pictures(directory / "pictures")
    (directory / "Snakefile").write_text(snakefile)
    study = copy.deepcopy(SMALL) | {"name": "geometry"} | changes
    (directory / "own.yaml").write_text(yaml.safe_dump({"threshold": 1, "geometry": study}, sort_keys=False))
    return directory


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    directory = importing(tmp_path_factory.mktemp("other") / "project")
    run(directory)
    return directory


def test_another_workflow_makes_the_same_numbers(imported, finished):
    branch = imported / "results/geometry/tiny/pictures/test"
    tables = sorted(finished.branch.glob("*.csv"))
    assert len(tables) == 9
    for table in tables:
        pd.testing.assert_frame_equal(pd.read_csv(branch / table.name), pd.read_csv(table), rtol=1e-9)
    for layer in ("00", "01", "02"):
        name = f"correlations/layer_{layer}.zarr"
        found, expected = (
            zarr_store.open_store(folder / name)["correlation"][:] for folder in (branch, finished.branch)
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    drawn = {path.name for path in (branch / "figures").iterdir()}
    assert drawn == {path.name for path in (finished.branch / "figures").iterdir()}
    alpha = pd.read_csv(branch / "alpha.csv")
    assert (imported / "steepest.txt").read_text() == alpha.loc[alpha.alpha.idxmax(), "name"]


def test_a_second_run_has_nothing_to_do_and_a_change_costs_what_it_does_alone(imported):
    assert "Nothing to be done" in run(imported, "--dry-run").stdout
    own = imported / "own.yaml"
    text = own.read_text()
    try:
        # What is the other workflow's own, the study does not know.
        own.write_text(text.replace("threshold: 1", "threshold: 2"))
        assert "Nothing to be done" in run(imported, "--dry-run").stdout
        own.write_text(text.replace("min_dist: 0.1", "min_dist: 0.2"))
        planned = set(re.findall(r"^rule (\w+):$", run(imported, "--dry-run").stdout, re.MULTILINE))
    finally:
        own.write_text(text)
    tables = {"cluster_table", "alpha_means_table", "claims_table"}
    expected = tables | {"draw_claims", "draw_alpha", "draw_statistic", "draw_clusters"}
    assert planned == {f"geometry_{rule}" for rule in expected} | {"steepest"}


def test_its_report_has_the_figures_and_tables_with_their_captions(imported, finished):
    run(imported, "--report", "report.zip")
    with zipfile.ZipFile(imported / "report.zip") as archive:
        held = {PurePath(name).name for name in archive.namelist()} - {"report.html"}
        page = archive.read("report/report.html").decode()
    # The other workflow asks for these.
    figures = {path.name for path in finished.path().rglob("figures/*.png")}
    assert held >= figures | {"alpha.csv", "clusters.csv", "correlation.csv", "claims.csv"}
    assert page.count("What it shows.") >= len(figures) + 4
    # The head of the report is the other workflow's.
    assert "This is the study" not in page


def test_on_request_rules_know_the_study(imported):
    assert re.search(r"^24 stores are whole$", run(imported, "geometry_verify").stdout, re.MULTILINE)
    assert "results: results/geometry/" in run(imported, "geometry_plan").stdout


def test_a_run_by_itself_does_not_take_the_modules_folder_for_its_own(imported):
    (imported / "alone.yaml").write_text(yaml.safe_dump(copy.deepcopy(SMALL) | {"name": "geometry"}))
    alone = ["--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "alone.yaml", "--dry-run"]
    said = run(imported, *alone, check=False)
    assert said.returncode != 0
    assert "error: name: results/geometry is there and no study's folder" in said.stdout


def test_settings_of_the_other_workflows_command_line_are_its_own(tmp_path):
    directory = importing(tmp_path / "project")
    assert "steepest" in run(directory, "--dry-run", "--config", "seed=text", "unknown=1").stdout


def test_an_error_of_the_modules_configuration_is_one_line(tmp_path):
    directory = importing(tmp_path / "project", seed="text")
    said = run(directory, "--dry-run", check=False)
    assert said.returncode != 0
    assert re.search(r"^error: seed: .*$", said.stdout, re.MULTILINE)
    assert "Traceback" not in said.stdout


@pytest.mark.parametrize("line", ["prefix:\n        'elsewhere'", "pathvars:\n        results='elsewhere'"])
def test_a_path_prefix_is_refused_in_one_line(tmp_path, line):
    directory = importing(tmp_path / "project", MODULE.replace("    config:\n", f"    {line}\n    config:\n"))
    said = run(directory, "--dry-run", check=False)
    assert said.returncode != 0
    assert "error: the module's prefix, replace_prefix or pathvars would lead away" in said.stdout
    assert "Traceback" not in said.stdout
