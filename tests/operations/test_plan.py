"""What the plan says of a study is what the study then takes."""

import copy
import random
from collections import Counter

import pytest
from small_study import SMALL, Workflow, write_pictures
from tokengeometry.operations import plan
from tokengeometry.operations.cost import sizes, sums
from tokengeometry.operations.cost.sizes import Cost
from tokengeometry.operations.plan import Job
from tokengeometry.storage import zarr_store

BRANCH = "tiny/pictures/test"
# Of the small study's model: 16 tokens of 768 pixel values, then 17 of 192 features.
PIXELS, TOKENS = (16, 768), (17, 192)
NOT_KEPT = {"activations": {"store": True, "dtype": "float32", "keep": False}, "moments": {"keep": False}}

POWER_LAW = {"statistics": ["power_law"]}


class Plan:
    """What is printed: of every group and rule the jobs, GiB, GB and TFLOP; 0 where the table has a blank."""

    def __init__(self, printed):
        self.rows = {}
        for table in printed.split("\n\n"):
            head, *rows = table.splitlines() or [""]
            if head.split()[-4:] != ["jobs", "memory/GiB", "disk/GB", "TFLOP"]:
                continue
            for row in rows:
                cells = [row[start : start + 13].strip().replace(",", "") for start in range(42, 94, 13)]
                self.rows[head[:42].strip(), row[:42].strip()] = [float(cell or 0) for cell in cells]

    def jobs(self, group):
        """The number of jobs by rule."""
        return {rule: int(row[0]) for (its, rule), row in self.rows.items() if its == group and rule != "all"}

    def disk(self, rule, group=BRANCH):
        """Bytes at most, to three digits."""
        return pytest.approx(1e9 * self.rows[group, rule][2], rel=0.006)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """The plan of the small study with some changes, in a folder where nothing is."""
    directory = tmp_path_factory.mktemp("planned")
    write_pictures(directory / "pictures")
    workflow = Workflow(directory, SMALL)

    def plan_with(**changes):
        workflow.configure(copy.deepcopy(SMALL) | changes)
        printed = Plan(workflow.run("plan").stdout)
        assert [file.name for file in workflow.path().iterdir()] == ["logs"]
        return printed

    plan_with.directory = directory
    return plan_with


def chunk_bytes(store):
    """Of all arrays but coordinates."""
    labels = zarr_store.open_store(store).labels
    files = [file for file in store.rglob("*") if file.is_file() and "c" in file.relative_to(store).parts[1:2]]
    return sum(file.stat().st_size for file in files if file.relative_to(store).parts[0] not in labels)


def test_jobs_are_those_of_a_count_by_hand(planned):
    two = {"train": {"arguments": {"root": "a"}, "samples": 40}, "test": {"arguments": {"root": "b"}}}
    for root in ("a", "b", "c"):
        (planned.directory / root / "class").mkdir(parents=True)
    found = planned(
        forward={"precision": "bfloat16"},
        models={"tiny": SMALL["models"]["tiny"] | {"layers": [1, 3]}},
        datasets={
            "both": {"class": "ImageFolder", "splits": two},
            "one": {"class": "ImageFolder", "splits": {"all": {"arguments": {"root": "c"}}}},
        },
    )

    def of_branch(parts, links=3, layers=2, statistics=3):
        of_layers = dict.fromkeys(("concatenated", "spectra", "correlation_matrix"), layers)
        return of_layers | {
            "pixels": parts,
            "layer": parts * links,
            "noise": links,
            "moments": parts * layers,
            "uncertainty": layers,
            "alpha_table": 1,
            "alpha_means_table": 1,
            "statistic_table": statistics - 1,
            "correlation_table": 1,
            "cluster_table": 1,
            "claims_table": 1,
            "figures": statistics + 4,
            "explorer_page": 1,
        }

    groups = {
        "whole study": {"model": 1, "dataset": 3, "figures": 1, "explorer_index": 1, "explorer_compare": 1},
        # 40 and 24 samples, 16 of them a part.
        # The two full parts of each layer are merged.
        "tiny/both/train": of_branch(3) | {"merged_moments": 2},
        "tiny/both/test": of_branch(2),
        "tiny/one/all": of_branch(2),
        "tiny/both": {"train_test_table": 1, "claims_of_splits": 1, "figures": 1},
    }
    assert {group: found.jobs(group) for group in groups} == groups
    total = sum(sum(rules.values()) for rules in groups.values())
    assert found.rows["total", "one job at a time"][0] == total


def test_the_plan_is_of_the_whole_study_and_its_disk_that_of_the_stores(finished, planned, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "copy"), SMALL)
    found = Plan(workflow.run("plan").stdout)
    assert found.rows == planned().rows
    written = Counter()
    for store in finished.branch.rglob("*.zarr"):
        kind = "concatenated" if store.stem == "concatenated" else store.relative_to(finished.branch).parts[0]
        kind = "correlation_matrix" if kind == "correlations" else kind
        kind = "pixels" if kind == "activations" and "layer_00" in store.parts else kind
        written["layer" if kind == "activations" else kind] += chunk_bytes(store)
        beside = sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) - chunk_bytes(store)
        assert beside < 50_000
    assert len(written) == 7
    for rule, size in written.items():
        assert found.disk(rule) == size
    # Where all is kept, nothing goes.
    assert found.disk("all") == sum(written.values())
    assert found.disk("model", "whole study") == finished.path("models/tiny/weights.safetensors").stat().st_size


def test_a_single_part_takes_two_layers_of_activations_and_one_of_moments(planned):
    found = planned(samples=24, samples_per_part=24, **NOT_KEPT | POWER_LAW)
    assert found.disk("pixels") == sizes.activation_disk(24, *PIXELS)
    assert found.disk("layer") == 2 * sizes.activation_disk(24, *TOKENS)
    assert found.disk("moments") == sums.moments(24, *PIXELS).disk
    stay = sum(found.rows[BRANCH, rule][2] for rule in ("concatenated", "spectra", "correlation_matrix", "uncertainty"))
    assert found.disk("left at the end", "total") == 1e9 * (stay + found.rows["whole study", "model"][2])


def test_moments_of_a_layer_wait_for_its_spectra_and_for_no_table(planned):
    found = planned(samples=24, samples_per_part=24, statistics=["power_law", "token_norm"], **NOT_KEPT)
    assert found.disk("moments") == sums.moments(24, *PIXELS).disk


@pytest.mark.parametrize("joint", [8, 24])
def test_what_waits_for_other_parts_adds_up(planned, joint):
    fit = SMALL["fit"] | {"ranks": [1, 5], "min_ranks": 4}
    found = planned(
        samples=24,
        samples_per_part=8,
        concatenated_samples=joint,
        fit=fit,
        uncertainty=SMALL["uncertainty"] | {"images": joint},
        **NOT_KEPT | POWER_LAW,
    )
    # Those of the first part wait for the second, layer by layer, and merged for the third.
    every_layer = sums.moments(8, *PIXELS).disk + 2 * sums.moments(8, *TOKENS).disk
    assert found.disk("moments") == every_layer + sums.moments(8, *PIXELS).disk
    merged = sums.merged_moments(16, *PIXELS).disk
    assert found.jobs(BRANCH)["merged_moments"] == 3
    assert found.disk("merged_moments") == merged + 2 * sums.merged_moments(16, *TOKENS).disk
    # Layers 1 and 2 of the parts of the concatenated spectrum wait for the last, which adds its own, layer by layer.
    assert found.disk("layer") == (2 if joint == 8 else 2 * 2 + 1) * sizes.activation_disk(8, *TOKENS)
    # Side by side, with two layers of each part at its fullest: the pixels, layer 1, and nothing else that is large.
    fullest = 3 * (sizes.activation_disk(8, *PIXELS) + sums.moments(8, *PIXELS).disk) + merged
    small = found.rows["total", "left at the end"][2] * 1e9
    assert fullest <= 1e9 * found.rows["total", "all parts side by side"][2] <= fullest + small


def test_many_small_parts_of_a_large_model_take_little_disk(planned):
    split = {"class": "FakeData", "splits": {"train": {"arguments": {"size": 50_000}}}}
    large = {"architecture": "vit_base_patch8_224", "image_size": 224, "layers": list(range(13))}
    found = planned(
        samples=50_000,
        samples_per_part=500,
        concatenated_samples=500,
        models={"base": SMALL["models"]["tiny"] | large},
        datasets=dict.fromkeys(("one", "two", "three", "four"), split),
        **NOT_KEPT | POWER_LAW,
    )
    assert found.jobs("base/four/train")["merged_moments"] == 13 * (64 - 1 + 32 - 1 + 4 - 1)
    one_at_a_time, abreast = (found.rows["total", name][2] for name in ("one job at a time", "all parts side by side"))
    assert one_at_a_time < 200 < abreast


def test_direct_mode_keeps_what_is_kept_and_no_activations(planned):
    found = planned(
        samples=24,
        samples_per_part=24,
        activations={"store": False, "dtype": "float32", "keep": False},
        moments={"keep": False},
    )
    layers = [sums.moments(24, *PIXELS).disk, *[sums.moments(24, *TOKENS).disk] * 2]
    joint = [sums.concatenated(24, *shape, folds=2).disk for shape in (PIXELS, TOKENS, TOKENS)]
    joint += [sums.uncertainty(16, 2, *shape).disk for shape in (PIXELS, TOKENS, TOKENS)]
    assert found.jobs(BRANCH)["direct"] == 1
    assert found.disk("direct") == sum(layers) + sum(joint)
    stay = sum(found.rows[BRANCH, rule][2] for rule in ("spectra", "correlation_matrix"))
    left = 1e9 * (stay + found.rows["whole study", "model"][2]) + sum(joint)
    assert found.disk("left at the end", "total") == left


def replayed(jobs, abreast):
    """The fullest that the disk gets, by going through all jobs and all files at every step."""
    done, fullest = [], 0
    while len(done) < len(jobs):
        made = {path for job in done for path in job.makes}
        ready = [job for job in jobs if job not in done and made.issuperset(job.reads)]
        first = max(ready, key=lambda job: job.priority)
        running = [job for job in ready if abreast and job.priority == first.priority] or [first]
        there = 0
        for job in done + running:
            for path, size in zip(job.makes, job.cost.stores, strict=True):
                readers = [other for other in jobs if path in other.reads]
                gone = path in job.temporary and readers and all(other in done for other in readers)
                there += 0 if gone else size
        done += running
        fullest = max(fullest, there)
    return fullest


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("abreast", [False, True])
def test_the_fullest_disk_is_that_of_a_replay_by_brute_force(seed, abreast):
    draw = random.Random(seed)
    jobs, paths = [], []
    for index in range(30):
        makes = [f"{index}.{output}" for output in range(draw.randint(1, 2))]
        jobs.append(
            Job(
                f"rule{index % 3}",
                {"model": "m", "dataset": str(index), "split": "s"},
                draw.choice([0, 5, 10]),
                tuple(draw.sample(paths, min(len(paths), draw.randint(0, 3)))),
                tuple(makes),
                frozenset(path for path in makes if draw.random() < 0.7),
                Cost(stores=tuple(draw.randint(1, 1000) for _ in makes)),
            )
        )
        paths += makes
    draw.shuffle(jobs)
    assert plan.disk(jobs, abreast).peak[()] == replayed(jobs, abreast) < sum(job.cost.disk for job in jobs)
