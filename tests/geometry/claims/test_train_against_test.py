"""The statement that two splits have the same α: planted splits that are equal, differ, or are too uncertain."""

import dataclasses

import numpy as np
import pytest
from planted import alphas, valley
from tokengeometry.geometry.claims.splits import of_splits


def judged(difference=0.0, error=0.002, **options):
    cls = np.full(13, 1.2)
    train, test = (alphas(valley(8), cls, error=error, seed=seed, **options) for seed in (0, 1))
    moved = test.corrected.copy()
    moved[5, 4] -= difference
    (found,) = of_splits(train, dataclasses.replace(test, corrected=moved), 0.05)
    return found


@pytest.mark.parametrize(
    ("difference", "error", "verdict"),
    [
        (0.0, 0.002, "holds"),
        # Significant, but within the margin.
        (0.03, 0.002, "holds"),
        (0.2, 0.002, "does not hold"),
        (0.0, 0.03, "can't be told here"),
        # Large, but so is the error.
        (0.06, 0.03, "can't be told here"),
    ],
)
def test_splits(difference, error, verdict):
    assert judged(difference, error).verdict == verdict


def test_the_difference_with_the_most_standard_errors_is_named():
    found = judged(0.2)
    assert found.estimate == pytest.approx(0.2)
    assert "0,4 at layer 4" in found.statistic
    # Two splits with images of their own; the interval is wider than of one number.
    half = (found.high - found.low) / 2
    assert 3 < half / (0.002 * np.sqrt(2)) < 4.5
    assert found.p == pytest.approx(1 / 1001)


def test_a_token_alone_among_equal_ones_is_not_enough_by_chance():
    assert judged(0.0).p > 0.001


def test_without_folds_and_with_doubts_it_is_not_told():
    for options, why in (({"folds": False}, "uncertainty.folds is 0"), ({"doubt": "too few"}, "too few")):
        found = judged(0.2, **options)
        assert (found.verdict, found.why) == ("can't be told here", why)
        assert found.estimate == pytest.approx(0.2)
