"""Every figure is the same bytes every time, with axes and colours that mean one thing."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from drawing import (
    BRANCHES,
    GRID,
    alpha_maps,
    alpha_table,
    alpha_trajectories,
    claims_table,
    cluster_table,
    correlation,
    correlation_table,
    dimensions_table,
    draw,
    ranges_table,
    reduced_places,
    reduction_table,
    small_print,
    spectrum,
)
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from tokengeometry import figures
from tokengeometry.figures import style
from tokengeometry.figures.alpha_summary_trajectories import alpha_summary_trajectories
from tokengeometry.figures.claims import claims
from tokengeometry.figures.clusters_embedding import clusters_embedding
from tokengeometry.figures.clusters_map import clusters_map
from tokengeometry.figures.correlation_matrices import correlation_matrices
from tokengeometry.figures.dimension_trajectories import dimension_trajectories
from tokengeometry.figures.eigenspectrum_fit import eigenspectrum_fit
from tokengeometry.figures.fit_ranges import fit_ranges
from tokengeometry.figures.mean_correlation import mean_correlation
from tokengeometry.figures.reduction_places import reduction_places
from tokengeometry.figures.reduction_tradeoff import reduction_tradeoff
from tokengeometry.figures.token_similarity import token_similarity
from tokengeometry.figures.train_test import train_test


def every_figure() -> dict[str, Figure]:
    alpha, clusters = alpha_table(), cluster_table(without=[2])
    matrices = {0: correlation(30, undefined=range(6)), 1: correlation(31)}
    means = {"A train": correlation_table(), "A test": correlation_table(1)}
    return {
        "statistic_trajectories": alpha_trajectories(alpha, clusters),
        "claims": claims(claims_table()),
        "clusters_embedding": clusters_embedding(clusters),
        "clusters_map": clusters_map(clusters, GRID),
        "mean_correlation": mean_correlation(means),
        "correlation_matrices": correlation_matrices(matrices, ["cls"], GRID),
        "eigenspectrum_fit": eigenspectrum_fit(spectrum(), 4e-3, (11, 50), 1.4, 1.0, 0.7, "CLS token"),
        "statistic_maps": alpha_maps(alpha, GRID),
        "token_similarity": token_similarity(correlation_table()),
        "train_test": train_test(alpha, alpha_table(seed=5)),
        "dimension_trajectories": dimension_trajectories(dimensions_table()),
        "fit_ranges": fit_ranges(ranges_table(), (11, 100)),
        "reduction_places": reduction_places(*reduced_places(), GRID, 0.5),
        "reduction_tradeoff": reduction_tradeoff(reduction_table()),
        "alpha_summary_trajectories": alpha_summary_trajectories({"A train": alpha, "A test": alpha}),
    }


def figure_modules() -> set[str]:
    """The modules of the package that make a figure: each has a function of its name."""
    names = [module.name for module in pkgutil.iter_modules(figures.__path__)]
    return {name for name in names if hasattr(importlib.import_module(f"tokengeometry.figures.{name}"), name)}


# What a figure is of


def test_every_figure_of_the_package_is_looked_at_here():
    assert every_figure().keys() == figure_modules()


@pytest.mark.parametrize("name", sorted(figure_modules()))
def test_a_saved_figure_says_in_itself_what_it_is_of(name, tmp_path, monkeypatch):
    figure = every_figure()[name]
    monkeypatch.setattr(figure, "clear", lambda: None)
    words = "tiny · A train (N = 1,200 images), test (N = 24 images)"
    draw(figure, tmp_path)
    assert words in small_print(figure)
    box, page = figure._supxlabel.get_window_extent(), figure.bbox
    assert 0 <= box.x0 < box.x1 <= page.width
    assert 0 <= box.y0 < box.y1 < page.height / 2
    assert Image.open(tmp_path / "figure.png").info["Title"] == words
    assert f"<dc:title>{words}</dc:title>" in (tmp_path / "figure.svg").read_text()


def test_branches_of_several_models_and_data_sets_are_named_once():
    branches = [("vit", "A", "train", 9), ("vit", "A", "test", 8), ("vit", "B", "test", 8), ("deit", "A", "test", 8)]
    assert style.in_words(branches) == (
        "vit · A train (N = 9 images), test (N = 8 images), B test (N = 8 images); deit · A test (N = 8 images)"
    )


# Saving


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "new"
    for name, figure in every_figure().items():
        style.save(figure, BRANCHES, folder / f"{name}.png", folder / f"{name}.svg")
        assert not figure.axes, "released once it is written"
    return folder


def test_every_figure_is_written_as_bitmap_and_vectors(saved):
    for name in ("statistic_trajectories", "clusters_map", "train_test"):
        assert (saved / f"{name}.png").stat().st_size > 3000
        assert "</svg>" in (saved / f"{name}.svg").read_text()
    assert len(list(saved.iterdir())) == 30


def test_another_process_on_another_day_writes_the_same_bytes(saved, tmp_path):
    program = (
        "import sys; from pathlib import Path; import test_figures as t\n"
        "folder = Path(sys.argv[1])\n"
        "for name, figure in t.every_figure().items():\n"
        "    t.style.save(figure, t.BRANCHES, folder / f'{name}.png', folder / f'{name}.svg')\n"
    )
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [tests, tests / "figures", tests.parent / "workflow"])),
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


def test_no_text_leaves_the_figure():
    for name, figure in every_figure().items():
        style.name_branches(figure, BRANCHES)
        FigureCanvasAgg(figure).draw()
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 >= -0.01, name
        assert box.y0 >= -0.01, name
        assert box.x1 <= width + 0.01, name
        assert box.y1 <= height + 0.01, name


# Axes and colours


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


def test_colours_stand_for_one_thing_and_clusters_stay_apart():
    kinds = [style.CLS, style.AVERAGED, style.POOLED, style.CONCATENATED, style.TOKEN_MEAN, style.FIT, style.UNDEFINED]
    kinds += [style.HOLDS, style.FAILS, style.UNTOLD]
    datasets = [style.branch_style(f"{name} test", ["A test", "B test"])["color"] for name in "AB"]
    clusters = [style.cluster_colour(cluster) for cluster in range(1, 13)]
    colours = np.array([*map(to_rgb, kinds), *map(to_rgb, datasets), *clusters])
    distance = np.abs(colours[:, None] - colours).sum(axis=-1)
    assert distance[~np.eye(len(colours), dtype=bool)].min() > 0.15
