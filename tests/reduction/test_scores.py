"""Scores are what scikit-learn and plain formulas make of the same features; intervals cover what they should."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from reducible import DEPTH, small_model, some_geometry, some_images
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from small_study import REPOSITORY
from tokengeometry.data.labels import labels_of
from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.operations.resources import ALLOCATOR
from tokengeometry.reduction import forward, scores, speed, table
from tokengeometry.reduction.patching import reduce
from tokengeometry.storage import zarr_store

pytestmark = pytest.mark.usefixtures("one_thread")
FIT = dict(ranks=(2, 15), min_ranks=8, weights="inverse_rank")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The whole model's tokens and what two policies make of the images, as stores."""
    folder = tmp_path_factory.mktemp("reduced")
    model, images, samples = small_model(), some_images(40), np.arange(40)
    forward.write_whole(folder / "whole.zarr", model, images.split(16), samples, {})
    whole = zarr_store.open_store(folder / "whole.zarr")
    for name, schedule, policy in (
        ("none", [0] * DEPTH, "tome"),
        ("tome", [9, 5, 3], "tome"),
        ("alpha_prune", [9, 5, 3], "alpha_prune"),
    ):
        options = dict(policy=policy, geometry=some_geometry(), seed=0)
        labels = {"sample": (("sample",), samples)}
        forward.write_reduced(folder / name, model, images.split(16), whole, schedule, labels, **options)
    return model, images, {name: zarr_store.open_store(folder / name) for name in ("none", "tome", "alpha_prune")}


def test_the_whole_model_is_like_itself(written):
    store = written[2]["none"]
    for name, value in (("cosine_cls", 1), ("error_cls", 0), ("cosine_tokens", 1), ("error_tokens", 0)):
        np.testing.assert_allclose(store[name][:], value, atol=1e-6)


@pytest.mark.parametrize("policy", ["tome", "alpha_prune"])
def test_likeness_is_that_of_tokens_put_back_in_their_places(written, policy):
    model, images, stores = written
    store = stores[policy]
    with torch.inference_mode():
        whole = model.forward_features(images).numpy()
        with reduce(model, [9, 5, 3], policy=policy, geometry=some_geometry()) as reduction:
            tokens = model.forward_features(images).numpy()
    for image in range(40):
        back = np.zeros_like(whole[image, 1:])
        for place, token in enumerate(reduction.places[image].tolist()):
            if token >= 0:
                back[place] = tokens[image, token]
        there = whole[image, 1:]
        lengths = np.linalg.norm(back, axis=1) * np.linalg.norm(there, axis=1)
        cosines = np.divide((back * there).sum(axis=1), lengths, where=lengths > 0, out=np.zeros(len(there)))
        assert store["cosine_tokens"][image] == pytest.approx(cosines.mean(), abs=1e-5)
        assert store["error_tokens"][image] == pytest.approx(np.linalg.norm(back - there) / np.linalg.norm(there), 1e-4)
        cosine = tokens[image, 0] @ whole[image, 0] / np.linalg.norm(tokens[image, 0]) / np.linalg.norm(whole[image, 0])
        assert store["cosine_cls"][image] == pytest.approx(cosine, abs=1e-5)
        held = back[reduction.places[image].numpy() >= 0]
        np.testing.assert_allclose(store["mean"][image], held.mean(axis=0), atol=1e-5)


def test_the_sizes_shown_are_means_over_the_images(written):
    store = written[2]["tome"]
    assert store["size"][:].shape == (DEPTH, 30)
    assert (store["size"][:] >= 1).all()
    first = store["places"][:]
    assert [len(np.unique(its)) for its in first] == [21, 16, 13]
    gone = written[2]["alpha_prune"]["size"][:]
    assert ((gone == 0).sum(axis=1) == [9, 14, 17]).all()


def test_classifiers_are_scikit_learns_on_held_out_folds():
    digits = load_digits()
    features, labels = digits.data[:240].astype(np.float32), digits.target[:240]
    found = scores.right(features, labels, neighbours=5, folds=4)
    for train, test in StratifiedKFold(4, shuffle=True, random_state=0).split(features, labels):
        mean, std = features[train].mean(axis=0), features[train].std(axis=0)
        scaled = (features - mean) / np.where(std > 0, std, 1)
        probe = LogisticRegression(C=0.01, max_iter=1000).fit(scaled[train], labels[train])
        assert found["probe"][test].mean() == pytest.approx(probe.score(scaled[test], labels[test]), abs=0.02)
    # k-NN by hand: of the images in other folds, the five of the largest cosine vote with exp(cosine / 0.07).
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(240, dtype=np.float32)
    right = 0
    for image in range(240):
        near = np.argsort(-cosine[image])[:5]
        votes = np.bincount(labels[near], np.exp(cosine[image, near] / 0.07), minlength=10)
        right += votes.argmax() == labels[image]
    assert found["knn"].mean() == pytest.approx(right / 240, abs=0.05)
    shuffled = scores.right(features, np.random.default_rng(0).permutation(labels), neighbours=5, folds=4)
    assert max(its.mean() for its in shuffled.values()) < 0.25


def test_alpha_of_features_is_that_of_their_covariance_with_the_bootstraps_error():
    random = np.random.default_rng(0)
    features = (random.normal(size=(600, 24)) * np.arange(1, 25) ** -0.7).astype(np.float32)

    def alpha(its):
        spectrum = np.linalg.eigvalsh(np.cov(its.T, bias=True))[::-1]
        return fit_power_law(spectrum, **FIT).alpha

    values = scores.alpha_values(features, **FIT)
    assert values.mean() == pytest.approx(alpha(features), abs=1e-6)
    resampled = [alpha(features[random.integers(0, 600, 600)]) for _ in range(300)]
    assert values.std() / np.sqrt(600) == pytest.approx(np.std(resampled), rel=0.2)


def test_alpha_of_a_constant_is_empty():
    assert np.isnan(scores.alpha_values(np.ones((50, 24), np.float32), **FIT)).all()


def test_intervals_are_those_of_a_mean_and_of_a_share():
    values = np.random.default_rng(0).normal(size=400)
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert scores.interval(values)[1:] == pytest.approx(expected, abs=0.015)
    skewed = np.r_[np.ones(40), 0.5]
    assert scores.interval(skewed)[2] <= 1
    assert np.isnan(scores.interval(np.full(9, np.nan))).all()
    share = np.arange(400) < 392
    mean, low, high = scores.interval(share)
    assert (mean, low < mean < high < 1) == (0.98, True)
    # Wilson's solves (p̂ − p)² = z² p (1 − p) / n.
    for end in (low, high):
        assert (0.98 - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / 400, rel=1e-3)


def test_tables_pair_the_images(written):
    stores = written[2]
    labels = np.arange(40) % 2
    options = dict(neighbours=3, folds=2, fit=FIT)
    whole, reduced = (scores.of_images(stores[name], stores["none"], labels, **options) for name in ("none", "tome"))
    assert set(scores.SHARES) | set(forward.LIKENESS) | {"alpha_cls", "alpha_mean", "sample"} == set(reduced)
    assert reduced.knn_cls.dtype == bool
    better = reduced.assign(cosine_cls=reduced.cosine_cls + 0.01, error_cls=reduced.error_cls + 0.01)
    images = {("none", "100", "0"): whole, ("tome", "050", "0"): reduced, ("tome-alpha", "050", "0"): better}
    facts = {run: {"flops": flops} for run, flops in zip(images, (100, 50, 51), strict=True)}
    found = table.reduction_table(images, facts, {("tome", "050"): {"speed": 1.5}})
    assert found.share.tolist() == [1, 0.5, 0.51]
    assert found.speed.isna().tolist() == [True, False, True]
    assert found.cosine_cls[1] == pytest.approx(reduced.cosine_cls.mean())
    compared = table.comparison_table(images).set_index("score")
    assert compared.policy.unique().tolist() == ["tome-alpha"]
    assert compared.verdict[["cosine_cls", "error_cls", "knn_cls"]].tolist() == ["better", "worse", "not told apart"]
    assert compared.high["cosine_cls"] - compared.low["cosine_cls"] == pytest.approx(0, abs=1e-6)


def test_the_file_of_schedules_has_that_from_correlations_first_then_that_from_alpha():
    runs = [("tome", "050"), ("tome", "080"), ("tome-alpha", "080"), ("tome-alpha", "050"), ("grid", "050")]
    its = {run: {"r": [index], "share": 0.5} for index, run in enumerate(runs)}
    found = table.schedule_file(its, {"architecture": "vit", "image_size": [8, 8]})
    assert (found["policy"], found["schedule"], found["r"]) == ("tome", "alpha", {"0.8": [2], "0.5": [3]})
    assert found["others"] == {"tome": {"0.5": [0], "0.8": [1]}, "tome-alpha": found["r"]}
    both = its | {("tome-share", "050"): {"r": [9], "share": 0.5}}
    assert table.schedule_file(both, {"architecture": "vit", "image_size": [8, 8]})["r"] == {"0.5": [9]}
    alone = table.schedule_file({("grid", "050"): its["grid", "050"]}, {"architecture": "vit", "image_size": [8, 8]})
    assert (alone["policy"], alone["schedule"], alone["r"]) == ("grid", "constant", {"0.5": [4]})


def test_scores_survive_the_file(written, tmp_path):
    stores = written[2]
    its = scores.of_images(stores["tome"], stores["none"], np.arange(40) % 2, neighbours=3, folds=2, fit=FIT)
    its.to_csv(tmp_path / "scores.csv", index=False)
    again = table.read_images(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(again, its, rtol=1e-12)


def test_the_front_is_what_no_run_beats():
    speed_, score = np.array([1, 2, 2, 3, 4, np.nan]), np.array([0.9, 0.8, 0.7, 0.85, 0.1, 1])
    expected = [
        not np.isnan(s)
        and not any((a >= s and b >= t) and (a > s or b > t) for a, b in zip(speed_, score, strict=True))
        for s, t in zip(speed_, score, strict=True)
    ]
    assert table.pareto(speed_, score).tolist() == expected == [True, False, False, True, True, False]


def test_speed_is_of_pairs_of_passes():
    found = speed.compare(small_model(), some_images(8), [10, 8, 5], repeats=3, policy="tome")
    assert found["speed_low"] <= found["speed"] <= found["speed_high"]
    assert found["images_per_second"] > 0
    assert found["whole_images_per_second"] > 0


MEMORIES = """
import timm, torch
from tokengeometry.reduction.speed import compare

torch.set_num_threads(1)
model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
images = torch.randn(16, 3, 224, 224)
for _ in range(3):
    print(*(compare(model, images, [16] * 12, repeats=1)[memory] for memory in ("memory", "whole_memory")))
"""


def test_memory_is_counted_whatever_was_there_before():
    paths = os.pathsep.join((str(REPOSITORY / "workflow"), os.environ.get("PYTHONPATH", "")))
    # A job's allocator gives nothing back by itself.
    its = os.environ | ALLOCATOR | {"PYTHONPATH": paths}
    said = subprocess.run([sys.executable, "-c", MEMORIES], env=its, capture_output=True, text=True, check=True).stdout
    reduced, whole = np.array([line.split() for line in said.splitlines()], float).T
    # Of 16 images in a block's MLP, before and after its activation function, at least.
    least = 2 * 4 * 16 * 181 * 4 * 192
    assert (reduced > least).all()
    assert (whole > least).all()


def test_labels_are_the_data_sets_own():
    class Listed:
        targets = (3, 1, 2)

    class Given:
        def __getitem__(self, index):
            return None, index % 2

    class Without:
        def __getitem__(self, index):
            return (None,)

    assert labels_of(Listed(), np.array([2, 0])).tolist() == [2, 3]
    assert labels_of(Given(), [0, 1, 3]).tolist() == [0, 1, 1]
    assert labels_of(Without(), [0, 1]) is None
    Listed.targets = torch.tensor([1, 1, -1])
    assert labels_of(Listed(), [0, 1]) is None
    assert labels_of(Listed(), [0, 2]) is None


def test_operations_of_a_run_are_those_of_one_image_whatever_is_made_once():
    model = small_model()
    fixed = forward.operations(model, [9, 5, 3], policy="grid")
    assert fixed < forward.operations(model, [9, 5, 3], policy="tome") < forward.operations(model, [0] * DEPTH)
