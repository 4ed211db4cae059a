"""Statements on correlations, of every measure that the table has."""

import numpy as np
import pandas as pd
import pytest
from planted import verdicts
from scipy.stats import t as student
from tokengeometry.geometry.claims import correlations
from tokengeometry.geometry.uncertainty.similarity import MEASURES
from tokengeometry.storage import zarr_store

LAYERS = np.arange(13)
VALLEY = np.r_[0.2, 0.4, 0.5, np.linspace(0.45, 0.3, 4), np.linspace(0.32, 0.6, 6)]
FALLING = np.r_[0.2, 0.6, np.linspace(0.55, 0.2, 11)]


def moves(error, shared=0.0, seed=0):
    """What leaving out a fold does to each layer: errors of this size, of whose variance layers share a part."""
    rng = np.random.default_rng(seed)
    its = np.sqrt(1 - shared) * rng.normal(size=(13, 10)) + np.sqrt(shared) * rng.normal(size=10)
    its -= its.mean(axis=1, keepdims=True)
    its *= error / np.sqrt(9 * np.square(its).mean(axis=1, keepdims=True))
    return dict(zip(LAYERS, its, strict=True))


def judged(values, error=0.005, measure="mean", shared=0.0):
    table = pd.DataFrame({"layer": LAYERS, measure: values})
    jackknife = {} if error is None else {measure: moves(error, shared)}
    return verdicts(correlations.of_measures(table, jackknife))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (VALLEY, ["holds", "holds"]),
        (FALLING, ["does not hold", "does not hold"]),
        (np.r_[0.2, 0.3, np.linspace(0.35, 0.7, 11)], ["holds", "does not hold"]),
        (np.r_[0.2, 0.4, 0.5, 0.9 - VALLEY[3:]], ["holds", "does not hold"]),
        (np.full(13, 0.4), ["can't be told here", "can't be told here"]),
    ],
)
def test_rise_and_valley(values, expected):
    found = judged(values)
    assert [found[claim].verdict for claim in ("8a", "8b")] == expected, found


def test_without_an_error_nothing_is_told():
    found = judged(VALLEY, error=None)
    assert {its.verdict for its in found.values()} == {"can't be told here"}
    assert found["8a"].estimate == pytest.approx(0.1)
    assert found["8a"].why == "there is no standard error of mean"


@pytest.mark.parametrize(("measure", "letters"), [("centred_mean", "cd"), ("cka_mean", "ef"), ("cosine_mean", "gh")])
def test_every_measure_that_is_there_is_judged(measure, letters):
    found = judged(VALLEY, measure=measure)
    assert [its.verdict for its in found.values()] == ["holds", "holds"]
    assert list(found) == [f"8{letter}" for letter in letters]


def test_without_folds_or_values_it_says_so():
    table = pd.DataFrame({"layer": LAYERS, "mean": VALLEY, "cka_mean": np.nan})
    none = "uncertainty.folds is 0"
    for doubt, words in (("", ("there is no standard error", "correlation.csv has no")), (none, none)):
        found = correlations.of_measures(table, {}, doubt)
        assert [its.claim for its in found] == ["8a", "8b", "8e", "8f"]
        assert {its.verdict for its in found} == {"can't be told here"}
        assert all(its.why.startswith(words) for its in found)


def test_two_lines_are_numpys():
    left, right = correlations.two_lines(LAYERS, 6)
    assert left @ VALLEY == pytest.approx(np.polyfit(LAYERS[:7], VALLEY[:7], 1)[0])
    assert right @ VALLEY == pytest.approx(np.polyfit(LAYERS[6:], VALLEY[6:], 1)[0])


def test_what_layers_share_goes_out_of_their_contrast():
    apart, together = (judged(VALLEY, shared=shared)["8a"] for shared in (0.0, 0.99))
    width = apart.high - apart.estimate
    # Nine degrees of freedom; ten folds hardly say how far two layers are independent.
    assert width == pytest.approx(2.262 * 0.005 * np.sqrt(2), rel=0.5)
    assert together.high - together.estimate < 0.3 * width


def test_a_contrasts_error_is_the_jackknife_of_the_contrast(finished):
    stores = {layer: zarr_store.open_store(finished.branch / f"uncertainty/layer_{layer:02d}.zarr") for layer in (1, 2)}
    images = stores[1].attributes["samples"]
    moved = correlations.read_jackknife(stores, 100)
    for measure, name in (("mean", "correlation"), ("cka_mean", "cka"), ("cosine_mean", "cosine")):
        row = MEASURES.index(name)
        first, second = (stores[layer]["similarity_without"][row, 0] for layer in (1, 2))
        scale = 1 if name == "cka" else np.sqrt(images / 100)
        expected = scale * np.sqrt(0.9 * np.square(second - first - (second - first).mean()).sum())
        table = pd.DataFrame({"layer": [1, 2], measure: [0.3, 0.5]})
        found = correlations.of_measures(table, moved)[0]
        assert (found.high - found.estimate) / student.isf(0.025, 9) == pytest.approx(expected, rel=1e-9)
        # Of one layer, it is the error in the store, but that of cosines is from images and not from folds.
        if name != "cosine":
            alone = np.sqrt(0.9 * np.square(moved[measure][2]).sum())
            assert alone == pytest.approx(stores[2]["similarity_error"][row, 0] * scale, rel=1e-9)


def test_few_layers_are_not_told():
    table = pd.DataFrame({"layer": [0, 1, 3], "mean": 0.5})
    assert {its.verdict for its in correlations.of_measures(table, {"mean": moves(0.01)})} == {"can't be told here"}
