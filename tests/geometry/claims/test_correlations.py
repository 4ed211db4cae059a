"""Statements on correlations, of every measure that the table has."""

import numpy as np
import pandas as pd
import pytest
from planted import verdicts
from tokengeometry.geometry.claims import correlations

LAYERS = np.arange(13)
VALLEY = np.r_[0.2, 0.4, 0.5, np.linspace(0.45, 0.3, 4), np.linspace(0.32, 0.6, 6)]
FALLING = np.r_[0.2, 0.6, np.linspace(0.55, 0.2, 11)]


def judged(values, error=0.005, measure="mean"):
    table = pd.DataFrame({"layer": LAYERS, measure: values})
    if error is not None:
        table[f"{measure}_se"] = error
    return verdicts(correlations.of_measures(table))


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
    assert found["8a"].why == "correlation.csv has no standard error of mean"


@pytest.mark.parametrize(("measure", "letters"), [("centred_mean", "cd"), ("cka_mean", "ef"), ("cosine_mean", "gh")])
def test_every_measure_that_is_there_is_judged(measure, letters):
    found = judged(VALLEY, measure=measure)
    assert [its.verdict for its in found.values()] == ["holds", "holds"]
    assert list(found) == [f"8{letter}" for letter in letters]


def test_without_folds_or_values_it_says_so():
    table = pd.DataFrame(
        {"layer": LAYERS, "mean": VALLEY, "mean_se": np.nan, "cka_mean": np.nan, "cka_mean_se": np.nan}
    )
    for doubt, words in (("", "correlation.csv has no"), ("uncertainty.folds is 0", "uncertainty.folds is 0")):
        found = correlations.of_measures(table, doubt)
        assert [its.claim for its in found] == ["8a", "8b", "8e", "8f"]
        assert {its.verdict for its in found} == {"can't be told here"}
        assert all(its.why.startswith(words) for its in found)


def test_two_lines_are_numpys_with_the_errors_of_weights():
    errors = np.linspace(0.01, 0.03, 13)
    (left, left_error), (right, _) = correlations.two_lines(LAYERS, VALLEY, errors, 6)
    fit, covariance = np.polyfit(LAYERS[:7], VALLEY[:7], 1, w=1 / errors[:7], cov="unscaled")
    assert (left, left_error) == pytest.approx((fit[0], np.sqrt(covariance[0, 0])))
    assert right == pytest.approx(np.polyfit(LAYERS[6:], VALLEY[6:], 1, w=1 / errors[6:])[0])


def test_few_layers_are_not_told():
    table = pd.DataFrame({"layer": [0, 1, 3], "mean": 0.5, "mean_se": 0.01})
    assert {its.verdict for its in correlations.of_measures(table)} == {"can't be told here"}
