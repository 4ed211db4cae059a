"""The figures of correlation draw what the tables and matrices say, and say what they cannot draw."""

import numpy as np
import pytest
from drawing import LAYERS, correlation, correlation_table, draw, labels, line, small_print
from matplotlib.colors import to_rgb
from tokengeometry.figures import style
from tokengeometry.figures.correlation_matrices import correlation_matrices
from tokengeometry.figures.mean_correlation import mean_correlation


def test_mean_correlation_draws_each_branch_of_the_table():
    tables = {"A train": correlation_table(0), "A test": correlation_table(1), "B test": correlation_table(2)}
    figure = mean_correlation(tables)
    assert labels(figure) == list(tables)
    for label, table in tables.items():
        assert list(line(figure, label).get_xdata()) == list(LAYERS)
        assert list(line(figure, label).get_ydata()) == table["mean"].tolist()


def test_colour_tells_the_data_set_and_line_tells_the_split():
    branches = ["A train", "A test", "B train", "B test", "B unlabeled", "B extra"]
    styles = {branch: style.branch_style(branch, branches) for branch in branches}
    assert styles["A train"]["color"] == styles["A test"]["color"] != styles["B test"]["color"]
    assert styles["A train"]["linestyle"] == styles["B train"]["linestyle"] != styles["B test"]["linestyle"]
    assert len({str(styles[f"B {split}"]["linestyle"]) for split in ("train", "test", "unlabeled", "extra")}) == 4


def test_a_branch_looks_the_same_alone_and_among_others():
    branches = ["A test", "B test"]
    tables = {label: correlation_table() for label in branches}
    alone = line(mean_correlation({"B test": tables["B test"]}, branches), "B test")
    among = line(mean_correlation(tables), "B test")
    assert (alone.get_color(), alone.get_marker()) == (among.get_color(), among.get_marker())


def test_constant_tokens_left_out_of_the_mean_are_counted():
    assert small_print(mean_correlation({"A test": correlation_table()})) == "layer 0: 6 constant tokens left out"
    tables = {"A test": correlation_table(), "B test": correlation_table(undefined=0)}
    assert small_print(mean_correlation(tables)) == "A test, layer 0: 6 constant tokens left out"


def test_undefined_mean_is_left_out_of_the_line(tmp_path):
    table = correlation_table(undefined=30)
    table.loc[0, "mean"] = np.nan
    figure = mean_correlation({"A test": table})
    assert list(line(figure, "A test").get_xdata()) == [1, 2, 3]
    draw(figure, tmp_path)


@pytest.mark.parametrize("count", [1, 2, 5, 13, 25])
def test_correlation_matrices_share_one_scale_over_any_number_of_layers(count, tmp_path):
    matrices = {layer: correlation(7) for layer in range(count)}
    figure = correlation_matrices(matrices)
    images = [image for axes in figure.axes for image in axes.get_images()]
    assert [axes.get_title() for axes in figure.axes if axes.get_images()] == [f"layer {i}" for i in range(count)]
    assert len({image.get_clim() for image in images}) == 1
    assert len(images) == len(figure.axes) - 1 == count
    np.testing.assert_array_equal(images[-1].get_array(), matrices[count - 1])
    draw(figure, tmp_path)


def test_undefined_correlation_is_grey_and_counted():
    figure = correlation_matrices({0: correlation(8, undefined=[0, 3]), 1: correlation(9)})
    image = figure.axes[0].get_images()[0]
    np.testing.assert_array_equal(image.to_rgba(image.get_array())[3, 5, :3], to_rgb(style.UNDEFINED))
    assert image.to_rgba(image.get_array())[1, 5, :3].tolist() != list(to_rgb(style.UNDEFINED))
    assert "grey, layer 0: undefined for 2 tokens" in small_print(figure)


def test_correlation_limits_can_be_held_over_figures():
    figure = correlation_matrices({0: correlation(8)}, limits=(-0.5, 0.9))
    assert figure.axes[0].get_images()[0].get_clim() == (-0.5, 0.9)


def test_correlation_all_undefined(tmp_path):
    draw(correlation_matrices({0: np.full((4, 4), np.nan)}), tmp_path)


def test_vector_file_of_large_matrices_embeds_images_of_bounded_size(tmp_path):
    draw(correlation_matrices({layer: correlation(400) for layer in range(4)}), tmp_path)
    svg = (tmp_path / "figure.svg").read_text()
    assert svg.count("<image") >= 4
    assert len(svg) < 4_000_000
