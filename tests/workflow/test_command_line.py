"""Settings of `--config` are what the same text would be in a configuration file."""

import copy
import re

import pytest
import yaml
from small_study import SMALL
from snakemake.cli import parse_config
from snakemake.utils import update_config
from tokengeometry.errors import StudyError
from tokengeometry.operations.command_line import read_settings
from tokengeometry.study import Study


def given(*arguments):
    """The small study's configuration after Snakemake and the Snakefile have taken these settings."""
    config = copy.deepcopy(SMALL)
    update_config(config, parse_config(arguments))
    read_settings(arguments, config)
    return config


IN_A_FILE = [
    "seed=1",
    "samples=20",
    "clusters={count: 3}",
    "clusters={count: 3, min_dist: 0.25, seed: 7}",
    "activations={keep: false}",
    "activations={store: yes, dtype: float16}",
    "moments={keep: off}",
    "fit={ranks: [3, 12], min_ranks: 4}",
    "figures={eigenspectrum: {layer: 2, token: reg_1}}",
    'figures={eigenspectrum: {layer: 2, token: "1,2"}}',
    "compute={threads: 3, batch_size: 16}",
    "compute={threads: auto}",
    "models={tiny: {layers: [0, 1], image_size: 80, weights: {seed: 9}}}",
    "datasets={pictures: {splits: {test: {samples: 18}}}}",
    # The schema leaves arguments open, and "false" would be true.
    "datasets={pictures: {class: FashionMNIST, splits: {test: {arguments: {train: false, root: 7}}}}}",
    "name=pilot",
    "name=./pilot",
]


@pytest.mark.parametrize("argument", IN_A_FILE)
def test_a_setting_of_the_command_line_is_what_it_is_in_a_file(argument):
    key, text = argument.split("=", 1)
    expected = copy.deepcopy(SMALL)
    update_config(expected, yaml.safe_load(f"{key}: {text}"))
    assert given(argument) == expected
    Study(given(argument))


def test_settings_of_the_command_line_add_up():
    config = given("clusters={count: 3}", "samples=20", "clusters={seed: 5}")
    assert config["clusters"] == SMALL["clusters"] | {"count": 3, "seed": 5}
    assert config["samples"] == 20


@pytest.mark.parametrize(
    ("argument", "path", "text"),
    [
        ("name=2023", ["name"], "2023"),
        ("name=007", ["name"], "007"),
        ("models={tiny: {weights: {source: wheel, version: 0.10}}}", ["models", "tiny", "weights", "version"], "0.10"),
        ("models={tiny: {weights: {source: wheel, package: 1e3}}}", ["models", "tiny", "weights", "package"], "1e3"),
        (
            f"models={{tiny: {{weights: {{source: wheel, sha256: {64 * '1'}}}}}}}",
            ["models", "tiny", "weights", "sha256"],
            64 * "1",
        ),
    ],
)
def test_a_number_is_text_where_text_is_wanted(argument, path, text):
    config = given(argument)
    for key in path:
        config = config[key]
    assert config == text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("clusters={count: three}", "clusters.count: 'three' is not a whole number"),
        ("clusters={count: 2.5}", "clusters.count: 2.5 is not a whole number"),
        ("clusters={counts: 3}", "clusters.counts: there is no such key; did you mean count"),
        ("activations={keep: maybe}", "activations.keep: 'maybe' is not true or false"),
        ("fit={ranks: 3}", "fit.ranks: 3 is not a list"),
        ("fit={ranks: [3, x]}", "fit.ranks.1: 'x' is not a whole number"),
        ("compute={threads: 0}", "compute.threads: 0 is not allowed; auto, or a number of cores"),
        ("samples=", "samples: None is not a whole number"),
        ("samples=true", "samples: True is not a whole number"),
    ],
)
def test_a_wrong_setting_of_the_command_line_is_refused_as_in_a_file(argument, message):
    with pytest.raises(StudyError, match=f"^{re.escape(message)}") as caught:
        Study(given(argument))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--configfile", "nope.yaml"], "--configfile: there is no file nope.yaml; if it is a target, name it before"),
        (["--configfile=nope.yaml"], "--configfile: there is no file nope.yaml"),
        (
            ["--configfile", "config.yaml", "plan"],
            "--configfile: there is no file plan; .*: snakemake plan … --configfile",
        ),
        (["--configfiles", "config.yaml", "nope.yaml", "--dry-run"], "--configfiles: there is no file nope.yaml"),
        (["--config", "seed=1", "plan"], "--config: plan is not KEY=VALUE; if it is a target, name it before"),
        (["--config", "seed"], "--config: seed is not KEY=VALUE"),
    ],
)
def test_what_is_no_file_and_no_setting_is_one_line(small_workflow, arguments, message):
    process = small_workflow.run(*arguments, check=False)
    assert process.returncode == 1
    *_, last = process.stdout.splitlines()
    assert re.match(f"error: {message}", last)
    assert "Traceback" not in process.stdout


def test_a_target_before_the_options_and_settings_with_signs_are_taken(small_workflow):
    said = small_workflow.run(
        "alpha", "--dry-run", "--configfile=config.yaml", "--config", "clusters={count: 3}"
    ).stdout
    assert re.search(r"^(local)?rule alpha:", said, re.MULTILINE)
