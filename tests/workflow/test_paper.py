"""`paper.yaml` is the paper's study, and all of it; `smoke.yaml` is a small one of the default model."""

import re

import pytest
import timm
import yaml
from small_study import REPOSITORY
from tokengeometry.operations.studies import described
from tokengeometry.study import Pair, Study

DEFAULT, PAPER, SMOKE = (
    yaml.safe_load((REPOSITORY / f"{name}.yaml").read_text()) for name in ("config", "paper", "smoke")
)


def test_the_papers_study_is_its_model_on_both_splits_of_its_data_sets():
    study = Study(PAPER)
    samples = {(b.dataset, b.split): study.samples(b.dataset, b.split) for b in study.branches}
    assert samples == {
        ("cifar10", "train"): 50_000,
        ("cifar10", "test"): 10_000,
        ("stl10", "train"): 5_000,
        ("stl10", "test"): 8_000,
    }
    assert study.pairs == [Pair("vit_base_patch8_224", "cifar10"), Pair("vit_base_patch8_224", "stl10")]
    assert study.layers("vit_base_patch8_224") == list(range(13))
    assert not PAPER["activations"]["keep"]
    assert not PAPER["moments"]["keep"]
    assert PAPER["compute"]["batch_size"] == 128


def test_the_papers_weights_are_those_that_timm_loads_for_its_name():
    assert PAPER["models"]["vit_base_patch8_224"]["architecture"].split(".") == [
        "vit_base_patch8_224",
        timm.get_pretrained_cfg("vit_base_patch8_224").tag,
    ]


@pytest.mark.parametrize("arguments", [["--configfile", REPOSITORY / "paper.yaml"], []])
def test_a_study_named_on_the_command_line_is_the_whole_study(small_workflow, arguments):
    output = small_workflow.run("--dry-run", *arguments).stdout
    datasets = set(re.findall(r"results/data/(\w+)/splits/", output))
    assert datasets == ({"cifar10", "stl10"} if arguments else {"pictures"})
    assert ("models/vit_base_patch8_224/" in output) == bool(arguments)


def test_single_settings_on_the_command_line_still_change_the_default_study(small_workflow):
    output = small_workflow.run("--dry-run", "--config", "samples=30", "samples_per_part=10").stdout
    assert re.search(r"^pixels +3$", output, re.MULTILINE)


def test_every_file_that_the_papers_page_names_is_made(small_workflow):
    page = (REPOSITORY / "docs" / "paper.md").read_text()
    named = set(re.findall(r"`((?:BRANCH|PAIR|results/paper)/[\w/.]+\.(?:png|csv))`", page))
    made = small_workflow.run("--dry-run", "--configfile", REPOSITORY / "paper.yaml").stdout
    model = "results/paper/vit_base_patch8_224"
    files = {name.replace("BRANCH", f"{model}/cifar10/test").replace("PAIR", f"{model}/cifar10") for name in named}
    assert len(files) > 9
    assert {file for file in files if not re.search(rf"output: .*\b{re.escape(file)}", made)} == set()


def test_the_first_look_is_less_of_the_default_study_in_a_folder_of_its_own():
    assert Study(SMOKE).folder == "results/smoke"
    layers = [study["models"]["dinov2_vits14"]["layers"] for study in (SMOKE, DEFAULT)]
    assert set(layers[0]) < set(layers[1])
    assert SMOKE["samples"] < DEFAULT["samples"]
    # What both share in results/models and results/data must be the same.
    assert described(SMOKE, {}) == described(DEFAULT, {})


def test_the_first_look_runs_every_rule_of_the_default_study(small_workflow):
    default, smoke = (
        small_workflow.planned("--configfile", REPOSITORY / f"{name}.yaml") for name in ("config", "smoke")
    )
    assert {rule for rule, _ in smoke} == {rule for rule, _ in default}
    assert len(smoke) < len(default)
