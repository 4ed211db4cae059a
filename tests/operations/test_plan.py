"""What the plan says of a study is what the study then takes."""

import copy
import math
import os
import re
import subprocess
import sys

import pytest
import torch
from small_study import PRINT_PEAK, REPOSITORY, SMALL
from tokengeometry.model.token_chain import TokenChain, create_model, describe
from tokengeometry.operations import cost, jobs
from tokengeometry.operations.resources import ALLOCATOR
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import CHUNK_BYTES
from tokengeometry.study import Study
from torch.utils.flop_counter import FlopCounterMode

GIB = 2**30


@pytest.fixture(scope="module")
def tiny():
    """The model of the small study, without weights."""
    network = create_model("vit_tiny_patch16_224", 64, device="meta")
    return describe(network, "vit_tiny_patch16_224")


def jobs_of(model, **changes):
    return jobs.study_jobs(Study(copy.deepcopy(SMALL) | changes), {"tiny": model}, threads=2)


def chunk_bytes(store):
    """Of all arrays but coordinates."""
    labels = zarr_store.open_store(store).labels
    files = [file for file in store.rglob("*") if file.is_file() and "c" in file.relative_to(store).parts[1:2]]
    return sum(file.stat().st_size for file in files if file.relative_to(store).parts[0] not in labels)


@pytest.mark.parametrize("shape", [(10, 4, 3), (5,), (), (40, 1000, 1000)])
def test_disk_of_an_array_is_that_of_its_chunks(tmp_path, shape):
    with zarr_store.create(tmp_path / "a.zarr") as store:
        store.write("a", torch.ones(shape), tuple("xyz"[: len(shape)]))
    assert chunk_bytes(tmp_path / "a.zarr") == cost.array_bytes(shape, "float32")
    # The long one has more than one chunk, and the last of them is not full.
    assert (cost.array_bytes(shape, "float32") > 4 * math.prod(shape) + 4) == (math.prod(shape) > CHUNK_BYTES // 4)


def test_disk_of_a_study_is_that_of_its_stores(finished, tiny):
    written = {}
    for store in finished.branch.rglob("*.zarr"):
        kind = "concatenated" if store.stem == "concatenated" else store.relative_to(finished.branch).parts[0]
        written[kind] = written.get(kind, 0) + chunk_bytes(store)
        beside = sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) - chunk_bytes(store)
        assert beside < 40_000
    expected = {}
    for job in jobs_of(tiny):
        for name, size in job.makes.items():
            kind = {"correlation": "correlations"}.get(name.split()[1], name.split()[1])
            expected[kind] = expected.get(kind, 0) + size
    weights = expected.pop("weights")
    assert written == expected
    assert finished.path("models/tiny/weights.safetensors").stat().st_size == pytest.approx(weights, abs=50_000)


def test_jobs_are_those_that_snakemake_counts(small_workflow, tiny):
    two = {"train": {"arguments": {"root": "a"}, "samples": 40}, "test": {"arguments": {"root": "b"}}}
    changes = {
        "forward": {"precision": "bfloat16"},
        "models": {"tiny": SMALL["models"]["tiny"] | {"layers": [1, 3]}},
        "datasets": {
            "both": {"class": "ImageFolder", "splits": two},
            "one": {"class": "ImageFolder", "splits": {"all": {"arguments": {"root": "c"}}}},
        },
    }
    for root in ("a", "b", "c"):
        (small_workflow.directory / root / "class").mkdir(parents=True)
    small_workflow.configure(SMALL | changes)
    output = small_workflow.run("--dry-run").stdout
    counted = dict(re.findall(r"^(\w+) +(\d+)$", output.split("Job stats:")[1], re.MULTILINE))
    assert int(counted.pop("all")) == 1
    total = int(counted.pop("total")) - 1
    planned = jobs_of(tiny, **changes)
    found = {}
    for job in planned:
        found[job.rule] = found.get(job.rule, 0) + 1
    assert found == {rule: int(count) for rule, count in counted.items()}
    assert len(planned) == total


def test_nothing_goes_where_all_is_kept(tiny):
    planned = jobs_of(tiny)
    everything = sum(size for job in planned for size in job.makes.values())
    for waves in (jobs.one_at_a_time(planned), jobs.side_by_side(planned)):
        assert jobs.disk(waves).peak == jobs.disk(waves).left == everything


NOT_KEPT = {"activations": {"store": True, "dtype": "float32", "keep": False}, "moments": {"keep": False}}


def test_a_single_part_takes_two_layers_of_activations_and_one_of_moments(tiny):
    planned = jobs_of(tiny, samples=24, samples_per_part=24, **NOT_KEPT)
    branch = "tiny/pictures/test"
    filled = jobs.disk(jobs.one_at_a_time(planned))
    # Layer 0 has 16 tokens of 768 pixel values, the others 17 of 192 features.
    pixels, tokens = cost.activation_disk(24, 16, 768), cost.activation_disk(24, 17, 192)
    assert filled.by_rule[branch, "pixels"] == pixels
    assert filled.by_rule[branch, "layer"] == 2 * tokens
    assert filled.by_rule[branch, "moments"] == cost.moment_disk(24, 16, 768)
    small = sum(
        size
        for job in planned
        if job.rule in ("model", "concatenated", "spectra", "correlation_matrix")
        for size in job.makes.values()
    )
    assert filled.left == small


def test_the_moments_of_all_parts_but_the_last_wait_for_it(tiny):
    filled = jobs.disk(
        jobs.one_at_a_time(jobs_of(tiny, samples=24, samples_per_part=8, concatenated_samples=16, **NOT_KEPT))
    )
    every_layer = cost.moment_disk(8, 16, 768) + 2 * cost.moment_disk(8, 17, 192)
    assert filled.by_rule["tiny/pictures/test", "moments"] == 2 * every_layer + cost.moment_disk(8, 16, 768)


def test_activations_wait_for_every_part_of_the_concatenated_spectrum(tiny):
    def activations(samples):
        planned = jobs_of(tiny, samples=24, samples_per_part=8, concatenated_samples=samples, fit=fit, **NOT_KEPT)
        return jobs.disk(jobs.one_at_a_time(planned)).by_rule["tiny/pictures/test", "layer"]

    fit = SMALL["fit"] | {"ranks": [1, 5], "min_ranks": 4}
    tokens = cost.activation_disk(8, 17, 192)
    assert activations(8) == 2 * tokens
    # Layers 1 and 2 of the first two parts wait for the third, which then adds its own, layer by layer.
    assert activations(24) == 2 * 2 * tokens + tokens


def test_parts_side_by_side_take_two_layers_each(tiny):
    planned = jobs_of(tiny, samples=24, samples_per_part=8, concatenated_samples=24, **NOT_KEPT)
    filled = jobs.disk(jobs.side_by_side(planned))
    assert filled.by_rule["tiny/pictures/test", "pixels"] == 3 * cost.activation_disk(8, 16, 768)
    assert filled.by_rule["tiny/pictures/test", "layer"] == 6 * cost.activation_disk(8, 17, 192)
    assert filled.by_rule["tiny/pictures/test", "moments"] == 3 * cost.moment_disk(8, 16, 768)


def counted_flops(function, *arguments):
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        function(*arguments)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("architecture", "image_size"),
    [("vit_tiny_patch16_224", 64), ("vit_base_patch8_224", 224), ("eva02_tiny_patch14_224", 56)],
)
def test_operations_of_the_forward_pass_are_those_that_torch_counts(architecture, image_size):
    network = create_model(architecture, image_size, device="meta")
    model = describe(network, architecture)
    chain = TokenChain(network)
    pixels, tokens = (cost.layer_shape(model, layer) for layer in (0, 1))
    first = counted_flops(chain.link, 1, torch.empty(3, *pixels, device="meta"))
    second = counted_flops(chain.link, 2, torch.empty(3, *tokens, device="meta"))
    assert first == cost.chain_flops(model, 3, 1)
    assert first + second == cost.chain_flops(model, 3, 2)


def test_a_plain_vits_block_needs_no_counting_of_its_weights():
    network = create_model("vit_tiny_patch16_224", device="meta")
    assert describe(network, "vit_tiny_patch16_224")["matrix_entries"] == [12 * 192**2] * 12


def test_operations_of_the_moments_are_those_that_torch_counts():
    def products(tokens):
        return tokens.mT @ tokens, tokens.flatten(1) @ tokens.flatten(1).T

    assert cost.moments_flops(50, 7, 12) == counted_flops(products, torch.randn(7, 50, 12))


def test_no_rule_needs_more_than_8_gib_at_the_papers_size():
    tokens, features, samples = 785, 768, 10_000
    needed = [
        cost.pixels_memory(128, 3 * 224 * 224, 8),
        cost.layer_memory(128, tokens, features),
        cost.moments_memory(samples, tokens, features),
        cost.concatenated_memory(samples, tokens, features),
        cost.spectra_memory(tokens, features, 8),
        cost.correlation_memory(tokens, features),
    ]
    assert max(needed) < 8 * GIB


def test_threads_cost_memory_as_far_as_there_are_pieces_for_them():
    one, three, many = (cost.concatenated_memory(2000, 10, 1000, threads=threads) for threads in (1, 3, 64))
    assert one < three == many


MEASURE = """
import sys
import numpy as np, torch
from tokengeometry.geometry import concatenated, moments
from tokengeometry.operations import cost
from tokengeometry.storage import zarr_store
torch.set_num_threads(1)
samples, tokens, features = map(int, sys.argv[3:])
if sys.argv[1] == "make":
    with zarr_store.create(sys.argv[2] + "/a.zarr", compute_dtype="float32") as store:
        array = store.create("activations", (samples, tokens, features), "float32", ("sample", "token", "feature"))
        random = np.random.default_rng(0)
        for start in range(0, samples, 10):
            array[start : start + 10] = random.normal(size=(min(10, samples - start), tokens, features))
else:
    activations = zarr_store.open_store(sys.argv[2] + "/a.zarr")
    if sys.argv[1] == "moments":
        found = moments.accumulate(moments.batches(activations))
        moments.write(sys.argv[2] + "/m.zarr", found, dtypes=["float32"])
    else:
        concatenated.write(sys.argv[2] + "/c.zarr", [activations], samples)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "shape"),
    [("moments", (300, 200, 512)), ("moments", (700, 300, 384)), ("concatenated", (5000, 4, 300))],
)
def test_memory_of_a_job_is_what_was_planned(tmp_path, rule, shape):
    def measure(step):
        command = [sys.executable, "-c", MEASURE + PRINT_PEAK, step, str(tmp_path), *map(str, shape)]
        environment = {"PYTHONPATH": str(REPOSITORY / "workflow"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout

    measure("make")
    peak = int(measure(rule).split()[-1])
    assert 0.5 < peak / getattr(cost, f"{rule}_memory")(*shape) <= 1


MEASURE_PIXELS = """
import sys
from tokengeometry.data import splits
from tokengeometry.activations.on_disk import write_pixels
batch_size, workers = map(int, sys.argv[2:])
split = splits.open_split("FakeData", {"size": 6 * batch_size, "image_size": [3, 32, 32]}, ".")
model = {"image_size": [224, 224], "in_chans": 3, "patch_size": [16, 16], "grid": [14, 14], "mean": [0.5] * 3,
         "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center"}
samples = range(len(split))
images = splits.batches(split, samples, model, batch_size=batch_size, workers=workers)
write_pixels(sys.argv[1] + "/p.zarr", images, model, samples)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "workers"), [(4, 1), (128, 2), (64, 8)])
def test_memory_of_loading_images_is_what_was_planned(tmp_path, batch_size, workers):
    command = [sys.executable, "-c", MEASURE_PIXELS + PRINT_PEAK, str(tmp_path), str(batch_size), str(workers)]
    environment = os.environ | ALLOCATOR | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    said = subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert 0.5 < int(said.split()[-1]) / cost.pixels_memory(batch_size, 3 * 224 * 224, workers) <= 1


@pytest.mark.slow
def test_the_plan_is_printed_without_weights_or_images(small_workflow):
    output = small_workflow.run("plan").stdout
    assert re.search(r"^  moments +6 +\d+\.\d+ +\d+\.?\d* +\d+\.?\d*$", output, re.MULTILINE)
    assert re.search(r"^  one job at a time +\d\d ", output, re.MULTILINE)
    assert [file.name for file in small_workflow.path().iterdir()] == ["logs"]
