"""Tuned schedules find a planted best one, at the cost that they say."""

import numpy as np
import pytest
import torch
from reducible import small_model, some_images
from tokengeometry.reduction import schedules, tuning
from tokengeometry.reduction.forward import mean_cosine
from tokengeometry.reduction.patching import reduce

DEPTH, SPATIAL = 6, 64


def solve(shape):
    # As if all blocks cost the same: the budget is of tokens seen.
    def cost(schedule):
        return sum(np.cumsum([SPATIAL, *(-np.array(schedule))])[:-1])

    return schedules.solve(shape, SPATIAL, cost, 0.6)


def test_the_best_rate_is_chosen():
    best = solve(schedules.exponential(DEPTH, 0.35))
    found = tuning.best_rate(lambda its: -np.abs(np.subtract(its, best)).sum(), solve, DEPTH)
    assert found.schedule == best
    assert (found.how["rate"], found.score, found.evaluations) == (0.35, 0, len(schedules.RATES))


def test_the_search_is_a_ceiling_and_counts_what_it_tries():
    planted, tried = solve([0, 8, 1, 9, 0, 0]), []

    def score(its):
        tried.append(its)
        return -float(np.abs(np.subtract(its, planted)).sum())

    found = tuning.search(score, solve, DEPTH, steps=60)
    assert found.evaluations == len(tried)
    assert found.score >= max(map(score, (solve(schedules.constant(DEPTH)), solve(schedules.decreasing(DEPTH)))))
    assert found.score > score(solve(schedules.exponential(DEPTH, 0.1)))
    assert found.how["progress"] == sorted(found.how["progress"])
    assert tuning.search(score, solve, DEPTH, steps=60).schedule == found.schedule


def test_schedules_are_scored_by_the_first_token():
    model, images = small_model(), some_images()
    with torch.inference_mode():
        whole = model.forward_features(images)
        with reduce(model, [9, 4, 2]):
            tokens = model.forward_features(images)
    expected = torch.cosine_similarity(tokens[:, 0], whole[:, 0], dim=-1).mean().item()
    score = mean_cosine(model, images.split(2), whole.split(2))
    assert score([9, 4, 2]) == pytest.approx(expected, abs=1e-6)
    assert score([0, 0, 0]) == pytest.approx(1, abs=1e-6)
