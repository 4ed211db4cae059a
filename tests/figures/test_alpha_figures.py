"""The figures of α draw what its tables say, and say what they cannot draw."""

import numpy as np
import pandas as pd
import pytest
from drawing import (
    CONSTANT,
    GRID,
    LAYERS,
    alpha_maps,
    alpha_table,
    alpha_trajectories,
    cluster_table,
    draw,
    labels,
    line,
    small_print,
)
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from tokengeometry.figures import style
from tokengeometry.figures.alpha_summary_trajectories import alpha_summary_trajectories
from tokengeometry.figures.curves import KINDS
from tokengeometry.figures.train_test import train_test
from tokengeometry.figures.undefined import undefined_values

# α trajectories


def test_cluster_curves_are_the_means_and_bands_the_percentiles_of_the_members():
    alpha, clusters = alpha_table(), cluster_table()
    figure = alpha_trajectories(alpha, clusters)
    bands = [band for band in figure.axes[0].collections if isinstance(band, PolyCollection)]
    for cluster in (1, 2, 3):
        tokens = clusters.loc[clusters["cluster"] == cluster, "token"].tolist()
        curve = line(figure, f"cluster {cluster} (10 tokens)")
        for layer, drawn in zip(*curve.get_data(), strict=True):
            values = [
                row.alpha
                for row in alpha.itertuples()
                if row.kind == "spatial" and row.layer == layer and row.token in tokens and row.alpha == row.alpha
            ]
            assert drawn == pytest.approx(np.mean(values))
            edges = bands[cluster - 1].get_paths()[0].vertices
            edges = edges[edges[:, 0] == layer, 1]
            assert edges.min() == pytest.approx(np.percentile(values, 10))
            assert edges.max() == pytest.approx(np.percentile(values, 90))
        assert list(curve.get_xdata()) == list(LAYERS)
    assert "10th–90th percentile" in small_print(figure)


@pytest.mark.parametrize(
    ("label", "kind"), [("all tokens, pooled", "pooled"), ("all tokens, concatenated", "concatenated")]
)
def test_curves_of_all_tokens_are_the_tables_rows(label, kind):
    alpha = alpha_table()
    curve = line(alpha_trajectories(alpha, cluster_table()), label)
    assert list(curve.get_ydata()) == alpha.loc[alpha["kind"] == kind, "alpha"].tolist()


def test_cls_curve_starts_at_layer_1():
    alpha = alpha_table()
    curve = line(alpha_trajectories(alpha, cluster_table()), "CLS token")
    assert list(curve.get_xdata()) == [1, 2, 3]
    assert list(curve.get_ydata()) == alpha.loc[alpha["name"] == "cls", "alpha"].tolist()
    assert to_rgb(curve.get_color()) == to_rgb(style.CLS)


def test_reasons_that_differ_in_a_number_are_said_once_with_its_range():
    alpha = alpha_table()
    missing = alpha[(alpha["kind"] == "spatial") & (alpha["layer"] == 0)].index[:4]
    alpha.loc[missing, "alpha"] = np.nan
    alpha.loc[missing, "reason"] = ["3 resolved ranks in 11-100", "29 resolved ranks in 11-100", "constant", "constant"]
    (sentence,) = [words for words in undefined_values(alpha, ("spatial",)) if words.startswith("layer 0:")]
    assert sentence.endswith("(3–29 resolved ranks in 11-100, constant)")


def test_undefined_values_is_said_with_its_count_and_reason():
    words = small_print(alpha_trajectories(alpha_table(), cluster_table()))
    assert "layer 0: α undefined for 6 of 30 tokens (constant)" in words
    complete = alpha_table(layers=range(1, 4))
    assert "undefined" not in small_print(alpha_trajectories(complete, cluster_table()))


def test_undefined_pooled_alpha_leaves_a_gap_and_is_said():
    alpha = alpha_table()
    first = (alpha["kind"] == "pooled") & (alpha["layer"] == 0)
    alpha.loc[first, ["alpha", "reason"]] = [np.nan, "too few resolved ranks"]
    figure = alpha_trajectories(alpha, cluster_table())
    assert list(line(figure, "all tokens, pooled").get_xdata()) == [1, 2, 3]
    assert "layer 0: pooled α undefined (too few resolved ranks)" in small_print(figure)


def test_tables_read_from_csv_draw_the_same(tmp_path):
    alpha, clusters = alpha_table(), cluster_table(without=[1])
    for name, table in (("alpha", alpha), ("clusters", clusters)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    read = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("alpha", "clusters")]
    expected, drawn = alpha_trajectories(alpha, clusters), alpha_trajectories(*read)
    assert small_print(drawn) == small_print(expected)
    assert labels(drawn) == labels(expected)
    for one, other in zip(expected.axes[0].get_lines(), drawn.axes[0].get_lines(), strict=True):
        np.testing.assert_allclose(one.get_ydata(), other.get_ydata())


def test_tokens_in_no_cluster_are_in_no_curve_and_counted():
    alpha, clusters = alpha_table(), cluster_table(without=[0, 29])
    alpha.loc[alpha["token"] == 30, "alpha"] = 1e6
    figure = alpha_trajectories(alpha, clusters)
    assert labels(figure)[:3] == ["cluster 1 (9 tokens)", "cluster 2 (10 tokens)", "cluster 3 (9 tokens)"]
    assert max(value for curve in figure.axes[0].get_lines() for value in curve.get_ydata()) < 10
    assert "2 of 30 tokens in no cluster (undefined α)" in small_print(figure)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ((), {"CLS token": 0, "other prefix tokens": 0}),
        (("cls", "dist"), {"CLS token": 1, "other prefix tokens": 1}),
        (("reg_1", "reg_2"), {"CLS token": 0, "other prefix tokens": 1}),
    ],
)
def test_models_with_any_prefix_tokens(prefix, expected, tmp_path):
    figure = alpha_trajectories(alpha_table(prefix), cluster_table(len(prefix)))
    for label, count in expected.items():
        assert labels(figure).count(label) == count
    others = [one for one in figure.axes[0].get_lines() if one.get_linestyle() == ":"]
    assert len(others) == len(set(prefix) - {"cls"})
    draw(figure, tmp_path)


def test_one_layer_and_no_alpha_at_all(tmp_path):
    draw(alpha_trajectories(alpha_table(layers=[3]), cluster_table()), tmp_path)
    nothing = alpha_table(layers=[0]).assign(alpha=np.nan, reason="constant")
    figure = alpha_trajectories(nothing, cluster_table(without=range(30)))
    assert "layer 0: α undefined for 30 of 30 tokens" in small_print(figure)
    draw(figure, tmp_path)


# α maps


def meshes(figure: Figure) -> list[QuadMesh]:
    return [one for axes in figure.axes for one in axes.collections if isinstance(one, QuadMesh)][: len(LAYERS)]


def test_alpha_maps_put_every_token_in_its_place():
    alpha = alpha_table()
    drawn = np.ma.asarray(meshes(alpha_maps(alpha, GRID))[2].get_array()).reshape(GRID)
    for row in alpha[(alpha["kind"] == "spatial") & (alpha["layer"] == 2)].itertuples():
        assert drawn[int(row.row), int(row.column)] == row.alpha


def test_alpha_maps_hatch_undefined_tokens_and_count_them():
    figure = alpha_maps(alpha_table(), GRID)
    mesh = meshes(figure)[0]
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()).reshape(GRID).any(axis=1), [1, 0, 0, 0, 0])
    assert mesh.get_cmap().get_bad()[3] == 0
    hatched = [[one for one in axes.patches if one.get_hatch()] for axes in figure.axes[: len(LAYERS)]]
    assert [len(one) for one in hatched] == [1, 0, 0, 0]
    assert hatched[0][0].get_bbox().bounds == (0, 0, GRID[1], GRID[0])
    assert "hatched, layer 0: α undefined for 6 of 30 tokens (constant)" in small_print(figure)


def test_pixels_have_a_scale_colours_and_a_bar_of_their_own():
    alpha = alpha_table()
    spatial = alpha[alpha["kind"] == "spatial"]
    figure = alpha_maps(alpha, GRID)
    pixels, *others = meshes(figure)
    expected = np.nanpercentile(spatial.loc[spatial["layer"] == 0, "alpha"], [1, 99])
    assert pixels.get_clim() == pytest.approx(tuple(expected))
    expected = np.percentile(spatial.loc[spatial["layer"] > 0, "alpha"], [1, 99])
    for mesh in others:
        assert mesh.get_clim() == pytest.approx(tuple(expected))
        assert mesh.get_cmap().name != pixels.get_cmap().name
    bars = {" ".join(axes.get_ylabel().split()): axes.get_ylim() for axes in figure.axes if axes.get_ylabel()}
    assert bars == {
        "Power-law exponent α, layer 0": pytest.approx(pixels.get_clim()),
        "Power-law exponent α, layers 1–3": pytest.approx(others[0].get_clim()),
    }


def test_without_pixels_there_is_one_bar():
    figure = alpha_maps(alpha_table(layers=[1, 2]), GRID)
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes if axes.get_ylabel()] == [
        "Power-law exponent α"
    ]


def test_one_extreme_token_does_not_take_the_shared_scale():
    grid = (8, 8)
    alpha = alpha_table(grid=grid)
    ordinary = meshes(alpha_maps(alpha, grid))[1].get_clim()
    alpha.loc[alpha["name"] == "3,3", "alpha"] = alpha["alpha"].where(alpha["layer"] != 2, 500.0)
    limits = {mesh.get_clim() for mesh in meshes(alpha_maps(alpha, grid))[1:]}
    assert len(limits) == 1
    assert limits.pop()[1] < 1.2 * ordinary[1]


def test_a_scale_for_each_layer_spans_that_layer():
    alpha = alpha_table()
    for layer, mesh in enumerate(meshes(alpha_maps(alpha, GRID, scale="layer"))):
        values = alpha.loc[(alpha["layer"] == layer) & (alpha["kind"] == "spatial"), "alpha"].dropna()
        assert mesh.get_clim() == pytest.approx(tuple(np.percentile(values, [1, 99])))


@pytest.mark.parametrize("scale", ["shared", "layer"])
def test_alpha_maps_of_one_layer_of_one_value_and_of_none(scale, tmp_path):
    one = alpha_table(layers=[0])
    for table in (one, one.assign(alpha=1.5), one.assign(alpha=np.nan, reason="constant")):
        draw(alpha_maps(table, GRID, scale), tmp_path)


# Train and test


def test_scatter_pairs_tokens_and_names_the_largest_difference():
    train = alpha_table()
    test = train.copy()
    changed = (test["layer"] == 2) & (test["name"] == "3,4")
    test.loc[changed, "alpha"] += 0.25
    figure = train_test(train, test)
    (points,) = [one for one in figure.axes[1].collections if isinstance(one, PathCollection)]
    pairs = 4 * 30 + 3 - CONSTANT
    assert len(points.get_offsets()) == pairs
    assert np.count_nonzero(np.diff(np.asarray(points.get_offsets())) > 0.2) == 1
    (words,) = [text.get_text() for text in figure.axes[1].texts]
    assert "largest |Δα| = 0.250" in words
    assert "layer 2, token 3,4" in words
    assert f"mean |Δα| = {0.25 / pairs:.3f}" in words
    assert f"not in the scatter: {CONSTANT} of {pairs + CONSTANT}" in small_print(figure)


def test_both_splits_curves_are_drawn_in_the_colour_of_their_kind():
    train, test = alpha_table(), alpha_table(seed=9)
    curves = train_test(train, test).axes[0].get_lines()
    tokens = [table[table["kind"].isin(["prefix", "spatial"])] for table in (test, train)]
    expected = [[rows[rows["layer"] == layer]["alpha"].mean() for layer in LAYERS] for rows in tokens]
    drawn = [list(one.get_ydata()) for one in curves if to_rgb(one.get_color()) == to_rgb(style.TOKEN_MEAN)]
    np.testing.assert_allclose(drawn, expected)
    assert len(curves) == 2 * len(KINDS)


def test_splits_without_a_common_token(tmp_path):
    train = alpha_table().assign(alpha=np.nan, reason="constant")
    figure = train_test(train, alpha_table())
    assert [text.get_text() for text in figure.axes[1].texts] == ["no token has an α in both splits"]
    draw(figure, tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_summary_has_a_panel_a_branch_on_one_axis(count, tmp_path):
    tables = {f"{name} test": alpha_table(seed=seed) for seed, name in zip(range(count), "ABCD", strict=False)}
    figure = alpha_summary_trajectories(tables)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(tables)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for axes, table in zip(figure.axes, tables.values(), strict=True):
        (pooled,) = [one for one in axes.get_lines() if to_rgb(one.get_color()) == to_rgb(style.POOLED)]
        assert list(pooled.get_ydata()) == table.loc[table["kind"] == "pooled", "alpha"].tolist()
    assert small_print(figure) == "layer 0: α undefined for 6 of 30 tokens (constant)"
    draw(figure, tmp_path)
