"""The figures of correlation draw what the tables and matrices say, and say what they cannot draw."""

import numpy as np
import pytest
from drawing import correlation, correlation_table, draw, labels, line, small_print
from matplotlib.colors import to_rgb
from tokengeometry.figures import style
from tokengeometry.figures.correlation_matrices import correlation_matrices
from tokengeometry.figures.mean_correlation import mean_correlation


def test_mean_correlation_draws_each_branch_of_the_table_for_each_kind_of_pair():
    tables = {"A train": correlation_table(0), "A test": correlation_table(1), "B test": correlation_table(2)}
    figure = mean_correlation(tables)
    assert labels(figure) == list(tables)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["All pairs of tokens", "Spatial pairs", "CLS–spatial pairs"]
    for panel, (column, layers) in enumerate(
        {"mean": [0, 1, 2, 3], "mean_spatial": [0, 1, 2, 3], "mean_cls_spatial": [1, 2, 3]}.items()
    ):
        for label, table in tables.items():
            drawn = line(figure, label, panel)
            assert list(drawn.get_xdata()) == layers
            assert list(drawn.get_ydata()) == table.set_index("layer").loc[layers, column].tolist()
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_without_a_cls_token_there_is_no_panel_of_its_pairs():
    tables = {"A test": correlation_table().assign(mean_cls_spatial=np.nan)}
    figure = mean_correlation(tables)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["All pairs of tokens", "Spatial pairs"]


def test_colour_tells_the_data_set_and_line_tells_the_split():
    branches = ["A train", "A test", "B train", "B test", "B unlabeled", "B extra"]
    styles = {branch: style.branch_style(branch, branches) for branch in branches}
    assert styles["A train"]["color"] == styles["A test"]["color"] != styles["B test"]["color"]
    assert styles["A train"]["linestyle"] == styles["B train"]["linestyle"] != styles["B test"]["linestyle"]
    assert len({str(styles[f"B {split}"]["linestyle"]) for split in ("train", "test", "unlabeled", "extra")}) == 4


def test_among_several_models_colour_tells_the_model_too():
    branches = ["vit, A train", "vit, A test", "deit, A train", "deit, A test"]
    styles = [style.branch_style(branch, branches) for branch in branches]
    assert styles[0]["color"] == styles[1]["color"] != styles[2]["color"] == styles[3]["color"]
    assert styles[0]["linestyle"] == styles[2]["linestyle"] != styles[1]["linestyle"] == styles[3]["linestyle"]


def test_a_branch_looks_the_same_alone_and_among_others():
    branches = ["A test", "B test"]
    tables = {label: correlation_table() for label in branches}
    alone = line(mean_correlation({"B test": tables["B test"]}, branches), "B test", 0)
    among = line(mean_correlation(tables), "B test", 0)
    assert (alone.get_color(), alone.get_marker()) == (among.get_color(), among.get_marker())


def test_constant_tokens_left_out_of_the_mean_are_counted():
    assert small_print(mean_correlation({"A test": correlation_table()})) == "layer 0: 6 constant tokens left out"
    tables = {"A test": correlation_table(), "B test": correlation_table(undefined=0)}
    assert small_print(mean_correlation(tables)) == "A test, layer 0: 6 constant tokens left out"


def test_undefined_mean_is_left_out_of_the_line(tmp_path):
    table = correlation_table(undefined=30)
    table.loc[0, "mean"] = np.nan
    figure = mean_correlation({"A test": table})
    assert list(line(figure, "A test", 0).get_xdata()) == [1, 2, 3]
    draw(figure, tmp_path)


PLACES = (2, 3)  # of the tokens of the image


@pytest.mark.parametrize("count", [1, 2, 5, 13, 25])
def test_correlation_matrices_share_one_scale_about_zero_over_any_number_of_layers(count, tmp_path):
    matrices = {layer: correlation(7) for layer in range(1, count + 1)}
    figure = correlation_matrices(matrices, ["cls"], PLACES)
    images = [image for axes in figure.axes for image in axes.get_images()]
    assert [axes.get_title() for axes in figure.axes if axes.get_images()] == [f"layer {i}" for i in matrices]
    ((low, high),) = {image.get_clim() for image in images}
    assert low == -high
    assert len(images) == len(figure.axes) - 1 == count
    np.testing.assert_array_equal(images[-1].get_array(), matrices[count])
    draw(figure, tmp_path)


def test_zero_correlation_is_pale_and_signs_differ_in_hue():
    (image,) = correlation_matrices({1: correlation(7)}, ["cls"], PLACES).axes[0].get_images()
    negative, zero, positive = image.to_rgba(np.array([image.norm.vmin, 0, image.norm.vmax]))[:, :3]
    assert zero.min() > 0.95
    assert negative[2] > negative[0]
    assert positive[0] > positive[2]


def ticks(axis):
    places = axis.get_ticklocs()
    return dict(zip(axis.get_major_formatter().format_ticks(places), places, strict=True))


def drawn_at(axes, x, y):
    """The value that an image shows at a place of its axes."""
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape
    row, column = (y - top) / (bottom - top) * rows, (x - left) / (right - left) * columns
    return image.get_array()[int(row), int(column)]


@pytest.mark.parametrize("prefix", [["cls"], ["cls", "reg_1", "reg_2", "reg_3", "reg_4"], ["cls", "dist"], []])
def test_ticks_of_a_matrix_name_the_tokens_that_stand_there(prefix):
    grid, count = (10, 12), len(prefix) + 120
    matrices = {0: correlation(120), 1: correlation(count)}
    figure = correlation_matrices(matrices, prefix, grid)
    for axes, (layer, matrix) in zip(figure.axes, matrices.items(), strict=False):
        places = ticks(axes.xaxis)
        assert places == ticks(axes.yaxis)
        assert [name for name in places if name.isdigit()] == ["0", "3", "6", "9"]
        assert ("CLS" in places) == ("cls" in prefix)
        assert ("reg" in places, "dist" in places) == ("reg_1" in prefix, "dist" in prefix)
        for row, other in (("0", "9"), ("3", "6"), ("6", "6")):
            tokens = [int(name) * 12 + 6 + (len(prefix) if layer else 0) for name in (row, other)]
            assert drawn_at(axes, places[other], places[row]) == matrix[tuple(tokens)]
        if "cls" in prefix and layer:
            assert drawn_at(axes, places["3"], places["CLS"]) == matrix[0, len(prefix) + 42]


def test_a_cls_token_among_hundreds_is_wide_enough_to_see():
    figure = correlation_matrices({0: correlation(196), 1: correlation(197)}, ["cls"], (14, 14))
    without, with_cls = (axes.get_images()[0] for axes in figure.axes[:2])
    shown = with_cls.get_array()
    width = len(shown) - 196
    assert width > 0.05 * len(shown)
    assert np.ptp(shown[:width], axis=0).max() == 0
    # Layer 0 has none, and its tokens stand below the same tokens of the others.
    assert len(without.get_array()) == 196
    assert without.get_extent()[1] == with_cls.get_extent()[1]


def test_undefined_correlation_is_hatched_and_counted():
    figure = correlation_matrices({1: correlation(8, undefined=[0, 3]), 2: correlation(8)}, [], (2, 4))
    image = figure.axes[0].get_images()[0]
    rgba = image.to_rgba(image.get_array())
    assert rgba[3, 5, 3] == 0
    assert rgba[1, 5, 3] == 1
    hatched = [[one for one in axes.patches if one.get_hatch()] for axes in figure.axes[:2]]
    assert [len(one) for one in hatched] == [1, 0]
    left, right, bottom, top = image.get_extent()
    assert hatched[0][0].get_bbox().bounds == (left, top, right - left, bottom - top)
    assert to_rgb(hatched[0][0].get_facecolor()) == to_rgb(style.UNDEFINED)
    assert "hatched, layer 1: undefined for 2 tokens" in small_print(figure)


def test_correlation_limit_can_be_held_over_figures():
    figure = correlation_matrices({1: correlation(8)}, [], (2, 4), limit=0.5)
    assert figure.axes[0].get_images()[0].get_clim() == (-0.5, 0.5)


def test_the_diagonal_does_not_take_the_scale():
    weak = 0.1 * correlation(40)
    np.fill_diagonal(weak, 1)
    figure = correlation_matrices({1: weak}, [], (5, 8))
    assert figure.axes[0].get_images()[0].get_clim() == (-0.1, 0.1)


def test_correlation_all_undefined(tmp_path):
    draw(correlation_matrices({1: np.full((4, 4), np.nan)}, [], (2, 2)), tmp_path)


def test_vector_file_of_large_matrices_embeds_images_of_bounded_size(tmp_path):
    draw(correlation_matrices({layer: correlation(401) for layer in range(1, 5)}, ["cls"], (20, 20)), tmp_path)
    svg = (tmp_path / "figure.svg").read_text()
    assert svg.count("<image") >= 4
    assert len(svg) < 4_000_000
