"""What jobs ask for covers what they use, and is not much more."""

import copy
import json
import re

import pandas as pd
import pytest
from small_study import REPOSITORY, SMALL
from tokengeometry.operations.resources import SNAKEMAKE_BYTES, request, threads_worth
from tokengeometry.study import Study

# What Python has after loading numpy, pandas and matplotlib; torch; torch, timm and torchvision; umap. Snakemake looks
# at a job's memory twice a second, and of a job of a few seconds it may have seen less than even this.
SMALLEST_PEAKS = dict.fromkeys(("moments", "concatenated", "spectra", "explorer_page"), 540 * 2**20)
SMALLEST_PEAKS |= dict.fromkeys(("model", "dataset", "pixels", "layer"), 740 * 2**20)
SMALLEST_PEAKS |= dict.fromkeys(("cluster_table", "claims_table"), 280 * 2**20)
SMALLEST_PEAK = 125 * 2**20
VIT_B_8 = {
    "image_size": [224, 224],
    "in_chans": 3,
    "patch_size": [8, 8],
    "grid": [28, 28],
    "prefix_tokens": ["cls"],
    "embed_dim": 768,
    "matrix_entries": [12 * 768**2] * 12,
}
JOB = {"model": "tiny", "dataset": "pictures", "split": "test", "layer": "02", "part": "000"}
RULES = ("pixels", "layer", "moments", "concatenated", "uncertainty", "spectra", "correlation_matrix")
RULES += ("cluster_table", "claims_table")
# Tables that grow with the samples or the square of the tokens; so does one figure.
GROWING = ("alpha_table", "alpha_means_table", "statistic_table", "correlation_table", "explorer_page")


@pytest.fixture(scope="module")
def study():
    config = copy.deepcopy(SMALL) | {"samples": 2000, "samples_per_part": 1000, "concatenated_samples": 2000}
    config["compute"]["batch_size"] = 64
    return Study(config)


def resources_of(workflow, *options):
    """The resources that every job of the whole study has, by its benchmark file."""
    said = workflow.run("--dry-run", "--forceall", *options).stdout
    pattern = r"benchmark: (\S+)\n(?:    \w+: .*\n)*?    resources: (.*)"
    return {
        file: {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?:,|$)", resources)}
        for file, resources in re.findall(pattern, said)
    }


@pytest.fixture(scope="module")
def planned(finished):
    return resources_of(finished)


@pytest.fixture(scope="module")
def peaks(finished, planned):
    """The measured peak of every job, by its benchmark file."""
    files = finished.path("benchmarks").rglob("*.tsv")
    rows = {str(file.relative_to(finished.directory)): pd.read_csv(file, sep="\t").iloc[0] for file in files}
    assert rows.keys() == planned.keys()
    return {file: row.max_rss * 2**20 for file, row in rows.items()}


def test_what_grows_asks_for_memory_disk_time_and_gpus(planned):
    of_rules = {file.split("/")[2] for file, asked in planned.items() if asked}
    assert of_rules == {"model", "dataset", *RULES, *GROWING, "figures"}
    for asked in planned.values():
        assert not asked or asked.keys() >= {"mem_mb", "disk_mb", "runtime", "gpu"}


def test_memory_asked_for_covers_the_measured_peak_and_is_at_most_twice_it(peaks, planned):
    largest, asked = {}, {}
    for file, resources in planned.items():
        if not resources:
            continue
        rule = file.split("/")[2]
        assert peaks[file] <= resources["mem_mb"] * 1e6, file
        largest[rule] = max(peaks[file], largest.get(rule, SMALLEST_PEAKS.get(rule, SMALLEST_PEAK)))
        asked[rule] = max(resources["mem_mb"] * 1e6, asked.get(rule, 0))
    for rule, memory in asked.items():
        assert memory - SNAKEMAKE_BYTES <= 2 * largest[rule], rule


def test_on_a_cluster_tables_and_figures_ask_for_the_profiles_default_and_it_covers_them(finished, peaks, planned):
    on_cluster = resources_of(finished, "--profile", REPOSITORY / "slurm")
    light = [file for file, asked in planned.items() if not asked]
    assert {file.split("/")[2] for file in light} == {"figures", "explorer_index"}
    for file, asked in on_cluster.items():
        if file in light:
            assert (asked["mem_mb"], asked["disk_mb"], asked["runtime"]) == (1000, 100, 10)
            assert peaks[file] + SNAKEMAKE_BYTES <= asked["mem_mb"] * 1e6
        else:
            assert asked.items() >= planned[file].items()


@pytest.mark.parametrize("earlier", [{}, {"architecture": "vit_base_patch8_224"}, {"image_size": [224, 224]}])
def test_resources_are_those_of_the_model_that_is_described_whatever_is_there(small_workflow, planned, earlier):
    if earlier:
        now = {"architecture": SMALL["models"]["tiny"]["architecture"], "image_size": [64, 64], "depth": 12}
        folder = small_workflow.path("models", "tiny")
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps(VIT_B_8 | now | {"source": {"source": "random"}} | earlier))
        (folder / "weights.safetensors").write_text("")
    assert resources_of(small_workflow) == planned


@pytest.mark.parametrize("rule", RULES)
def test_requests_grow_with_every_attempt(study, rule):
    first, second, third = (request(rule, study, VIT_B_8, JOB, attempt=attempt) for attempt in (1, 2, 3))
    assert (second.memory_mb, third.memory_mb) == (2 * first.memory_mb, 3 * first.memory_mb)
    assert (second.minutes, third.minutes) == (2 * first.minutes, 3 * first.minutes)
    assert first.disk_mb == third.disk_mb


def test_a_store_fits_in_the_disk_asked_for_and_little_is_left(finished, planned):
    for file in ("moments/tiny.pictures.test.layer_02.part_000", "layer/tiny.pictures.test.layer_02.part_000"):
        kind = "moments" if file.startswith("moments") else "activations"
        store = finished.branch / kind / "layer_02" / "part_000.zarr"
        used = sum(chunk.stat().st_size for chunk in store.rglob("*") if chunk.name.isdigit())
        asked = planned[f"results/benchmarks/{file}.tsv"]["disk_mb"]
        assert used <= asked * 1e6 <= used + 1e6


def test_tables_and_figures_ask_for_what_was_measured_at_the_papers_size(study):
    config = copy.deepcopy(study.config) | {"samples": 50_000}
    config["models"]["tiny"]["layers"] = list(range(13))
    for rule, peak in (("statistic_table", 980), ("figures", 366)):
        asked = request(rule, Study(config), VIT_B_8, JOB | {"statistic": "token_norm"}).memory_mb
        assert peak * 2**20 < asked * 1e6 - SNAKEMAKE_BYTES < 1.5 * peak * 2**20


def test_threads_follow_the_work_up_to_the_most_there_are(study):
    large = [threads_worth(rule, study, VIT_B_8, JOB, 8) for rule in ("pixels", "layer", "moments", "spectra")]
    assert large == [4, 8, 8, 8]
    assert threads_worth("layer", study, VIT_B_8, JOB, 3) == 3
    small = VIT_B_8 | {"grid": [4, 4], "embed_dim": 192, "matrix_entries": [12 * 192**2] * 12}
    assert {threads_worth(rule, study, small, JOB, 8) for rule in ("layer", "moments", "spectra")} == {1}


def test_a_gpu_takes_less_time_and_more_of_the_hosts_memory(study):
    without, with_gpu = (request("layer", study, VIT_B_8, JOB, gpu=gpu) for gpu in (False, True))
    assert with_gpu.minutes < without.minutes
    assert with_gpu.memory_mb > without.memory_mb
