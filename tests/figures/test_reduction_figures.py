"""The figures of reductions show every policy, its intervals, the front, and what is held together."""

import numpy as np
import pytest
from drawing import GRID, labels, reduced_places, reduction_table
from matplotlib.collections import LineCollection
from tokengeometry.figures.reduction_places import reduction_places
from tokengeometry.figures.reduction_tradeoff import reduction_tradeoff


def test_every_policy_has_a_curve_over_its_measured_speed():
    table = reduction_table()
    figure = reduction_tradeoff(table)
    assert labels(figure) == ["tome", "tome-alpha", "random_prune"]
    cosine, knn = figure.axes
    curves = {bars.get_label(): bars.lines[0] for bars in cosine.containers}
    rows = table[table.policy == "tome-alpha"].sort_values("speed")
    np.testing.assert_allclose(curves["tome-alpha"].get_xydata(), np.c_[rows.speed, 1 - rows.cosine_cls])
    # Seeds are one curve.
    assert len(curves["random_prune"].get_xdata()) == 2
    assert curves["tome-alpha"].get_linewidth() > curves["tome"].get_linewidth()
    assert cosine.get_ylim()[0] > cosine.get_ylim()[1], "better is above"
    assert knn.get_ylim()[0] < knn.get_ylim()[1]


def test_bars_reach_from_the_low_to_the_high_end():
    table = reduction_table()
    row = table[(table.policy == "tome") & (table.budget == 0.5)].iloc[0]
    for axes, of in zip(reduction_tradeoff(table).axes, (lambda value: 1 - value, lambda value: value), strict=True):
        (bars,) = [bars for bars in axes.containers if bars.get_label() == "tome"]
        _, vertical = (part for part in bars.lines[2] if isinstance(part, LineCollection))
        score = "cosine_cls" if axes.get_yscale() == "log" else "knn_cls"
        ends = sorted(vertical.get_segments()[-1][:, 1])
        assert ends == pytest.approx(sorted([of(row[f"{score}_low"]), of(row[f"{score}_high"])]))


def test_the_front_is_ringed():
    rings = [line for line in reduction_tradeoff(reduction_table()).axes[0].lines if line.get_fillstyle() == "none"]
    front = sorted(zip(*rings[0].get_data(), strict=True))
    assert [speed for speed, _ in front] == pytest.approx([1.2, 1.8])


def test_without_labels_there_is_one_panel():
    assert len(reduction_tradeoff(reduction_table(labels=False)).axes) == 1


def test_lines_run_between_places_of_different_tokens():
    places, sizes = reduced_places()
    figure = reduction_places(places, sizes, GRID, 0.5)
    panels = [axes for axes in figure.axes if axes.images]
    blocks = [axes.get_title() for axes in panels if axes.get_title()]
    assert blocks[0] == "block 1"
    assert blocks[-1] == "block 8"
    last = panels[len(blocks) - 1]
    held = places["tome-alpha"][7].reshape(GRID)
    assert len(last.lines) == (held[1:] != held[:-1]).sum() + (held[:, 1:] != held[:, :-1]).sum()
    np.testing.assert_allclose(last.images[0].get_array(), sizes["tome-alpha"][7].reshape(GRID))
    gone = panels[-1].images[0].get_array()
    assert gone.mask.sum() == 7
