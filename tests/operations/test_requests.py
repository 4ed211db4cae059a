"""What jobs ask for covers what they use, and is not much more."""

import copy
import csv
import json
import re

import pytest
from small_study import SMALL
from tokengeometry.operations.resources import SNAKEMAKE_BYTES, request, threads_worth
from tokengeometry.study import Study

# What Python has after loading numpy, pandas and matplotlib; torch; torch, timm and torchvision. Snakemake looks
# at a job's memory twice a second, and of a job of a few seconds it may have seen less than even this.
SMALLEST_PEAKS = dict.fromkeys(("moments", "concatenated", "spectra"), 540 * 2**20)
SMALLEST_PEAKS |= dict.fromkeys(("model", "dataset", "pixels", "layer"), 740 * 2**20)
SMALLEST_PEAK = 125 * 2**20
VIT_B_8 = {
    "image_size": [224, 224],
    "in_chans": 3,
    "patch_size": [8, 8],
    "grid": [28, 28],
    "prefix_tokens": ["cls"],
    "embed_dim": 768,
}
JOB = {"model": "tiny", "dataset": "pictures", "split": "test", "layer": "02", "part": "000"}
RULES = (
    "pixels",
    "layer",
    "moments",
    "concatenated",
    "spectra",
    "correlation_matrix",
    "alpha_table",
    "draw_alpha_maps",
    "statistic_table",
    "draw_statistic_maps",
)


@pytest.fixture(scope="module")
def study():
    config = copy.deepcopy(SMALL) | {"samples": 2000, "samples_per_part": 1000, "concatenated_samples": 2000}
    config["compute"]["batch_size"] = 64
    return Study(config)


@pytest.fixture(scope="module")
def planned(finished):
    """The resources of every job of the finished study, by its benchmark file."""
    said = finished.run("--dry-run", "--forceall").stdout
    pattern = r"benchmark: (\S+)\n(?:    \w+: .*\n)*?    resources: (.*)"
    return {
        file: {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?:,|$)", resources)}
        for file, resources in re.findall(pattern, said)
    }


def test_every_job_asks_for_memory_disk_time_and_gpus(finished, planned):
    files = {str(file.relative_to(finished.directory)) for file in finished.path("benchmarks").rglob("*.tsv")}
    assert set(planned) == files
    for asked in planned.values():
        assert asked.keys() >= {"mem_mb", "disk_mb", "runtime", "gpu"}


def test_memory_asked_for_covers_the_measured_peak_and_is_at_most_twice_it(finished, planned):
    peaks, asked = {}, {}
    for file, resources in planned.items():
        rule = file.split("/")[2]
        with (finished.directory / file).open() as rows:
            peak = float(next(csv.DictReader(rows, delimiter="\t"))["max_rss"]) * 2**20
        assert peak <= resources["mem_mb"] * 1e6, file
        peaks[rule] = max(peak, peaks.get(rule, SMALLEST_PEAKS.get(rule, SMALLEST_PEAK)))
        asked[rule] = max(resources["mem_mb"] * 1e6, asked.get(rule, 0))
    for rule, memory in asked.items():
        assert memory - SNAKEMAKE_BYTES <= 2 * peaks[rule], rule


def test_resources_are_unknown_before_the_model_is_and_a_dry_run_says_so(small_workflow):
    said = small_workflow.run("--dry-run", "alpha").stdout
    assert re.search(r"^rule moments:\n(?:    .*\n)*?    resources: .*mem_mb=<TBD>", said, re.MULTILINE)


@pytest.mark.parametrize("earlier", [{"architecture": "vit_base_patch8_224"}, {"image_size": [224, 224]}])
def test_resources_are_unknown_until_a_model_described_otherwise_is_made_again(small_workflow, earlier):
    now = {"architecture": SMALL["models"]["tiny"]["architecture"], "image_size": [64, 64], "depth": 12}
    small_workflow.path("models", "tiny").mkdir(parents=True)
    description = small_workflow.path("models", "tiny", "model.json")
    moments = r"^rule moments:\n(?:    .*\n)*?    resources: .*mem_mb="
    for model, memory in ((now, r"\d+"), (now | earlier, "<TBD>")):
        description.write_text(json.dumps(VIT_B_8 | model))
        said = small_workflow.run("--dry-run", "alpha").stdout
        assert re.search(moments + memory, said, re.MULTILINE)


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


def test_threads_follow_the_work_up_to_the_most_there_are(study):
    large = [threads_worth(rule, study, VIT_B_8, JOB, 8) for rule in ("pixels", "layer", "moments", "spectra")]
    assert large == [4, 8, 8, 8]
    assert threads_worth("layer", study, VIT_B_8, JOB, 3) == 3
    small = VIT_B_8 | {"grid": [4, 4], "embed_dim": 192}
    assert {threads_worth(rule, study, small, JOB, 8) for rule in ("layer", "moments", "spectra")} == {1}


def test_a_gpu_takes_less_time_and_more_of_the_hosts_memory(study):
    without, with_gpu = (request("layer", study, VIT_B_8, JOB, gpu=gpu) for gpu in (False, True))
    assert with_gpu.minutes < without.minutes
    assert with_gpu.memory_mb > without.memory_mb
