"""Operations are those that torch counts; schedules meet their budgets."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from reducible import DEPTH, small_model, some_images
from tokengeometry.errors import StudyError
from tokengeometry.reduction import flops, schedules
from tokengeometry.reduction.flops import Blocks
from tokengeometry.reduction.patching import reduce
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# A ViT-S/14 at 224 pixels.
SMALL_14 = Blocks(256, 1, 225792, (589824,) * 12, (1179648,) * 12, (384,) * 12, (64,) * 12)
SHAPES = {
    "constant": schedules.constant(12),
    "decreasing": schedules.decreasing(12),
    "exponential": schedules.exponential(12, 0.4),
    "alpha": schedules.of_alpha(np.array([2.4, 2, 1.7, 1.5, 1.4, 1.3, 1.25, 1.2, 1.2, 1.25, 1.3, 1.3])),
}


def cost_of(blocks):
    return lambda schedule: flops.count(blocks, schedule)


@pytest.mark.parametrize("build", [{}, {"reg_tokens": 4, "mlp_ratio": 2.0}, {"init_values": 0.1, "qk_norm": True}])
@pytest.mark.parametrize("schedule", [[0, 0, 0], [5, 0, 5], [15, 7, 3], [99, 1, 2]])
def test_operations_are_those_that_torch_counts(build, schedule):
    model, counter = small_model(**build), FlopCounterMode(display=False)
    # torch does not count its fused attention on the CPU.
    with torch.inference_mode(), reduce(model, schedule), sdpa_kernel(SDPBackend.MATH), counter:
        model.forward_features(some_images(1))
    assert flops.count(flops.blocks_of(model), schedule) == counter.get_total_flops()


@pytest.mark.parametrize("budget", [1.0, 0.8, 0.65, 0.5, 0.35, 0.25])
@pytest.mark.parametrize("shape", SHAPES)
def test_schedules_of_all_shapes_cost_the_same(shape, budget):
    cost = cost_of(SMALL_14)
    schedule = schedules.solve(SHAPES[shape], 256, cost, budget)
    assert cost(schedule) / cost([0] * 12) == pytest.approx(budget, rel=0.005)
    left = flops.left(256, schedule)
    # No block is asked for more than it gives.
    assert [before - after for before, after in pairwise(left)] == schedule


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_go_in_proportion_to_the_shape_where_there_are_enough(shape):
    schedule = schedules.solve(SHAPES[shape], 256, cost_of(SMALL_14), 0.65)
    expected = SHAPES[shape] / SHAPES[shape].sum() * sum(schedule)
    assert np.abs(np.array(schedule) - expected).max() <= 1.5


def test_what_could_not_go_at_a_block_goes_at_the_next_ones():
    assert schedules.scaled([1, 0, 0, 0], 16, 15.0) == [8, 4, 2, 1]
    assert schedules.scaled([1, 1, 1, 1], 16, 2.5) == [2, 3, 3, 2]


def test_a_budget_that_can_not_be_reached_is_said():
    with pytest.raises(StudyError, match=r"budgets: 0.25 is less than .* at the blocks 12, 0\.9\d is left"):
        schedules.solve([0] * 11 + [1], 256, cost_of(SMALL_14), 0.25)


@pytest.mark.parametrize("shape", [[0, 0], [-1, 1], [np.nan, 1]])
def test_a_shape_is_numbers_from_0_on(shape):
    with pytest.raises(StudyError, match="its shape over the blocks"):
        schedules.solve(shape, 16, sum, 0.5)


def test_redundancy_is_counted_over_pairs_of_places():
    matrix = np.array([[1, 0.95, 0.5], [0.95, 1, 0.92], [0.5, 0.92, 1]])
    assert schedules.of_share([matrix]) == pytest.approx(2 / 3)
    assert schedules.of_correlation([matrix]) == pytest.approx((0.95 + 0.5 + 0.92) / 3)


def test_the_operations_of_the_small_model_are_found_on_the_meta_device():
    assert flops.blocks_of(small_model()) == flops.blocks_of(small_model().to("meta"))
    assert flops.blocks_of(small_model()).depth == DEPTH
