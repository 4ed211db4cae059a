"""The figures draw what the tables say, say what they cannot draw, and are the same bytes every time."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tokengeometry.figures import style
from tokengeometry.figures.alpha_maps import alpha_maps
from tokengeometry.figures.alpha_summary_trajectories import alpha_summary_trajectories
from tokengeometry.figures.alpha_trajectories import alpha_trajectories
from tokengeometry.figures.clusters_embedding import clusters_embedding
from tokengeometry.figures.clusters_map import clusters_map
from tokengeometry.figures.correlation_matrices import correlation_matrices
from tokengeometry.figures.eigenspectrum_fit import eigenspectrum_fit
from tokengeometry.figures.mean_correlation import mean_correlation
from tokengeometry.figures.train_test import train_test

GRID = (5, 6)
LAYERS = range(4)
CONSTANT = 6  # the first row of tokens is constant at layer 0


def alpha_table(prefix=("cls",), layers=LAYERS, grid=GRID, seed=0) -> pd.DataFrame:
    """An α table as the workflow writes it: no prefix at layer 0, a constant first row there."""
    random = np.random.default_rng(seed)
    rows = []
    for layer in layers:
        level = 1.3 + 2 * np.exp(-layer)
        for token, name in enumerate(prefix if layer else ()):
            rows.append((layer, token, name, "prefix", None, None, level - 0.3 + 0.1 * token, ""))
        for spatial in range(grid[0] * grid[1]):
            row, column = divmod(spatial, grid[1])
            missing = layer == 0 and row == 0
            value = np.nan if missing else level * random.uniform(0.95, 1.1)
            reason = "constant" if missing else ""
            token = spatial + len(prefix)
            rows.append((layer, token, f"{row},{column}", "spatial", row, column, value, reason))
        for kind, factor in (("pooled", 0.9), ("concatenated", 0.8)):
            rows.append((layer, None, kind, kind, None, None, level * factor, ""))
    columns = ["layer", "token", "name", "kind", "row", "column", "alpha", "reason"]
    return pd.DataFrame(rows, columns=columns)


def cluster_table(prefix=1, grid=GRID, without=()) -> pd.DataFrame:
    """A cluster table: clusters 1, 2, 3 in turn; the tokens ``without`` one say why."""
    places = np.arange(grid[0] * grid[1])
    row, column = np.divmod(places, grid[1])
    random = np.random.default_rng(1)
    clusters = pd.DataFrame(
        {
            "token": places + prefix,
            "row": row,
            "column": column,
            "umap_1": random.standard_normal(places.size),
            "umap_2": random.standard_normal(places.size),
            "cluster": places % 3 + 1.0,
            "mean_alpha": 1.5,
            "reason": "",
        }
    )
    clusters.loc[list(without), ["umap_1", "umap_2", "cluster"]] = np.nan
    clusters.loc[list(without), "reason"] = "undefined α"
    return clusters


def correlation_table(seed=0, undefined=CONSTANT) -> pd.DataFrame:
    mean = np.random.default_rng(seed).uniform(0.3, 0.8, len(LAYERS))
    counts = [undefined] + [0] * (len(LAYERS) - 1)
    return pd.DataFrame({"layer": list(LAYERS), "mean": mean, "undefined_tokens": counts})


def correlation(tokens: int, undefined=()) -> np.ndarray:
    matrix = np.corrcoef(np.random.default_rng(tokens).standard_normal((tokens, 40)))
    matrix[list(undefined)] = np.nan
    matrix[:, list(undefined)] = np.nan
    return matrix


def spectrum(ranks=100, alpha=1.4, log_amplitude=0.7) -> np.ndarray:
    return np.exp(log_amplitude) * np.arange(1, ranks + 1.0) ** -alpha


def line(figure: Figure, label: str):
    (found,) = [one for axes in figure.axes for one in axes.get_lines() if one.get_label() == label]
    return found


def labels(figure: Figure) -> list[str]:
    legends = [*figure.legends, *[axes.get_legend() for axes in figure.axes if axes.get_legend()]]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def small_print(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def draw(figure: Figure, folder: Path) -> None:
    style.save(figure, folder / "figure.png", folder / "figure.svg")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (folder / "figure.svg").read_text()


def every_figure() -> dict[str, Figure]:
    alpha, clusters = alpha_table(), cluster_table(without=[2])
    matrices = {0: correlation(30, undefined=range(6)), 1: correlation(31)}
    return {
        "alpha_trajectories": alpha_trajectories(alpha, clusters),
        "clusters_embedding": clusters_embedding(clusters),
        "clusters_map": clusters_map(clusters, GRID),
        "mean_correlation": mean_correlation({"A train": correlation_table(), "A test": correlation_table(1)}),
        "correlation_matrices": correlation_matrices(matrices),
        "eigenspectrum_fit": eigenspectrum_fit(spectrum(), 4e-3, (11, 50), 1.4, 1.0, 0.7, "CLS token"),
        "alpha_maps": alpha_maps(alpha, GRID),
        "train_test": train_test(alpha, alpha_table(seed=5), "A"),
        "alpha_summary_trajectories": alpha_summary_trajectories({"A train": alpha, "A test": alpha}),
    }


# Saving


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "new"
    for name, figure in every_figure().items():
        style.save(figure, folder / f"{name}.png", folder / f"{name}.svg")
        assert not figure.axes, "released once it is written"
    return folder


def test_every_figure_is_written_as_bitmap_and_vectors(saved):
    for name in ("alpha_trajectories", "clusters_map", "train_test"):
        assert (saved / f"{name}.png").stat().st_size > 3000
        assert "</svg>" in (saved / f"{name}.svg").read_text()
    assert len(list(saved.iterdir())) == 18


def test_another_process_on_another_day_writes_the_same_bytes(saved, tmp_path):
    program = (
        "import sys; from pathlib import Path; import test_figures as t\n"
        "folder = Path(sys.argv[1])\n"
        "for name, figure in t.every_figure().items():\n"
        "    t.style.save(figure, folder / f'{name}.png', folder / f'{name}.svg')\n"
    )
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent / "workflow")]),
        "PYTHONHASHSEED": "1",
        "SOURCE_DATE_EPOCH": "86400",
    }
    environment.pop("DISPLAY", None)
    subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, check=True)
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_files_name_neither_date_nor_software(tmp_path):
    draw(clusters_map(cluster_table(), GRID), tmp_path)
    assert b"Software" not in (tmp_path / "figure.png").read_bytes()
    svg = (tmp_path / "figure.svg").read_text()
    assert "dc:date" not in svg
    assert "dc:creator" not in svg


def test_a_users_own_matplotlib_settings_change_nothing(tmp_path):
    sizes = []
    for settings in ({}, {"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        with matplotlib.rc_context(settings):
            draw(alpha_trajectories(alpha_table(), cluster_table()), tmp_path)
        sizes.append((tmp_path / "figure.png").read_bytes())
    assert sizes[0] == sizes[1]


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


def test_undefined_alpha_is_said_with_its_count_and_reason():
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


@pytest.mark.parametrize(("low", "high"), [(1.2, 5.2), (0.9, 3.3), (1.31, 1.44), (1.3, 1.301), (0.4, 60), (1, 2)])
def test_alpha_axis_has_a_few_plain_numbers(low, high):
    figure = style.new_figure(3, 3)
    axes = figure.subplots()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    style.alpha_axis(axes.yaxis, low, high)
    shown = [text.get_text() for text in axes.get_yticklabels()]
    ticks = [float(text) for text in shown]
    assert 3 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)
    assert len(set(ticks)) == len(ticks)
    assert not any("e" in text or "^" in text for text in shown)


@pytest.mark.parametrize("layers", [[0], [0, 6, 12], list(range(13)), list(range(41))])
def test_layer_axis_labels_layers_that_exist(layers):
    axes = style.new_figure(3, 3).subplots()
    style.layer_axis(axes, layers)
    ticks = [int(text.get_text()) for text in axes.get_xticklabels()]
    assert set(ticks) <= set(layers)
    assert ticks[0] == layers[0]
    assert min(len(layers), 7) <= len(ticks) <= 13


# Clusters


def test_a_cluster_has_one_colour_in_trajectories_embedding_and_map():
    clusters = cluster_table()
    trajectories = alpha_trajectories(alpha_table(), clusters)
    points = [one for one in clusters_embedding(clusters).axes[0].collections if isinstance(one, PathCollection)]
    map_ = map_colours(clusters_map(clusters, GRID))
    for cluster in (1, 2, 3):
        expected = style.cluster_colour(cluster)
        assert to_rgb(line(trajectories, f"cluster {cluster} (10 tokens)").get_color()) == expected
        assert tuple(points[cluster - 1].get_facecolor()[0][:3]) == pytest.approx(expected)
        for row, column in clusters.loc[clusters["cluster"] == cluster, ["row", "column"]].to_numpy():
            assert tuple(map_[row, column]) == pytest.approx(expected)


def map_colours(figure: Figure) -> np.ndarray:
    (mesh,) = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    return np.asarray(mesh.get_array())[..., :3]


def test_colours_stand_for_one_thing_and_clusters_stay_apart():
    kinds = [style.CLS, style.POOLED, style.CONCATENATED, style.TOKEN_MEAN, style.FIT, style.UNDEFINED]
    datasets = [style.branch_style(f"{name} test", ["A test", "B test"])["color"] for name in "AB"]
    clusters = [style.cluster_colour(cluster) for cluster in range(1, 13)]
    colours = np.array([*map(to_rgb, kinds), *map(to_rgb, datasets), *clusters])
    distance = np.abs(colours[:, None] - colours).sum(axis=-1)
    assert distance[~np.eye(len(colours), dtype=bool)].min() > 0.15


def test_embedding_draws_every_clustered_token_where_umap_put_it():
    clusters = cluster_table(without=[4])
    figure = clusters_embedding(clusters)
    drawn = np.concatenate([np.asarray(one.get_offsets()) for one in figure.axes[0].collections])
    expected = clusters[["umap_1", "umap_2"]].dropna().to_numpy()
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
    assert "cluster 2: 9 tokens, mean α 1.50" in labels(figure)
    assert "1 of 30 tokens in no cluster" in small_print(figure)


def test_map_hatches_tokens_without_cluster_on_a_grid_that_is_not_square(tmp_path):
    figure = clusters_map(cluster_table(without=[7]), GRID)
    assert map_colours(figure).shape == (*GRID, 3)
    assert tuple(map_colours(figure)[1, 1]) == pytest.approx(to_rgb(style.UNDEFINED))
    hatched = [one for one in figure.axes[0].patches if isinstance(one, Rectangle) and one.get_hatch()]
    assert [one.get_xy() for one in hatched] == [(0.5, 0.5)]
    assert labels(figure) == ["cluster 1", "cluster 2", "cluster 3", "no cluster"]
    assert figure.axes[0].get_ylim() == (GRID[0] - 0.5, -0.5)
    draw(figure, tmp_path)


def test_map_without_gaps_has_no_entry_for_them():
    assert "no cluster" not in labels(clusters_map(cluster_table(), GRID))


def test_no_cluster_at_all_is_drawn_and_said(tmp_path):
    clusters = cluster_table(without=range(30))
    for figure in (clusters_map(clusters, GRID), clusters_embedding(clusters)):
        assert "30 of 30 tokens in no cluster" in small_print(figure)
        draw(figure, tmp_path)


# Correlation


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


# Eigenspectrum


def test_spectrum_and_fitted_line_lie_on_a_planted_power_law():
    values = spectrum(alpha=1.4, log_amplitude=0.7)
    figure = eigenspectrum_fit(values, 0.0, (11, 50), 1.4, 0.9987, 0.7, "CLS token, layer 6")
    dots, fit = line(figure, "eigenvalues"), line(figure, "fit: α = 1.400, R² = 0.9987")
    np.testing.assert_array_equal(dots.get_ydata(), values)
    assert list(fit.get_xdata()) == [11, 50]
    np.testing.assert_allclose(fit.get_ydata(), values[[10, 49]])
    assert "fit range, ranks 11–50" in labels(figure)
    (shade,) = figure.axes[0].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (11, 50)
    assert figure.axes[0].get_title(loc="left") == "CLS token, layer 6"


def test_eigenvalues_at_the_floor_or_beyond_the_samples_are_faint_and_not_under_the_line():
    values = spectrum()
    by_floor = eigenspectrum_fit(values, values[29], (11, 50), 1.4, 1.0, 0.7, "")
    by_samples = eigenspectrum_fit(values, 0.0, (11, 50), 1.4, 1.0, 0.7, "", samples=30)
    for figure in (by_floor, by_samples):
        assert line(figure, "eigenvalues").get_xdata()[-1] == 29
        assert line(figure, "not resolved").get_xdata()[0] == 30
        assert line(figure, "fit: α = 1.400, R² = 1.0000").get_xdata()[-1] == 29


def test_eigenvalues_too_small_for_the_axis_are_marked_at_its_end(tmp_path):
    values = np.concatenate([spectrum(40), [1e-20, 0.0, -1e-20]])
    figure = eigenspectrum_fit(values, 1e-12, (11, 40), 1.4, 1.0, 0.7, "")
    marks = line(figure, "not resolved, below the axis")
    assert list(marks.get_xdata()) == [41, 42, 43]
    bottom = figure.axes[0].get_ylim()[0]
    assert all(bottom < value < values[39] for value in marks.get_ydata())
    assert bottom > values[39] / 100
    draw(figure, tmp_path)


def test_without_a_fit_the_spectrum_is_drawn_and_the_reason_given(tmp_path):
    nan = float("nan")
    few = eigenspectrum_fit(spectrum(5), 0.0, (11, 50), nan, nan, nan, "", reason="too few resolved ranks")
    constant = eigenspectrum_fit(np.zeros(50), 0.0, (11, 50), nan, nan, nan, "", reason="constant")
    for figure, reason in ((few, "too few resolved ranks"), (constant, "constant")):
        assert [text.get_text() for text in figure.axes[0].texts] == [f"no fit: {reason}"]
        assert not any(label.startswith("fit: ") for label in labels(figure))
        draw(figure, tmp_path)


# α maps


def meshes(figure: Figure) -> list[QuadMesh]:
    return [one for axes in figure.axes for one in axes.collections if isinstance(one, QuadMesh)][: len(LAYERS)]


def test_alpha_maps_put_every_token_in_its_place():
    alpha = alpha_table()
    drawn = np.ma.asarray(meshes(alpha_maps(alpha, GRID))[2].get_array()).reshape(GRID)
    for row in alpha[(alpha["kind"] == "spatial") & (alpha["layer"] == 2)].itertuples():
        assert drawn[int(row.row), int(row.column)] == row.alpha


def test_alpha_maps_grey_out_undefined_tokens_and_count_them():
    figure = alpha_maps(alpha_table(), GRID)
    mesh = meshes(figure)[0]
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()).reshape(GRID).any(axis=1), [1, 0, 0, 0, 0])
    assert to_rgb(mesh.get_cmap().get_bad()) == to_rgb(style.UNDEFINED)
    assert "grey, layer 0: α undefined for 6 of 30 tokens (constant)" in small_print(figure)


def test_one_extreme_token_does_not_take_the_shared_scale():
    alpha = alpha_table()
    ordinary = meshes(alpha_maps(alpha, GRID))[0].get_clim()
    alpha.loc[alpha["name"] == "3,3", "alpha"] = alpha["alpha"].where(alpha["layer"] != 2, 500.0)
    figure = alpha_maps(alpha, GRID)
    limits = {mesh.get_clim() for mesh in meshes(figure)}
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
    figure = train_test(train, test, "A")
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
    assert len(curves) == 8


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


def test_no_text_leaves_the_figure():
    for name, figure in every_figure().items():
        FigureCanvasAgg(figure).draw()
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 >= -0.01, name
        assert box.y0 >= -0.01, name
        assert box.x1 <= width + 0.01, name
        assert box.y1 <= height + 0.01, name
