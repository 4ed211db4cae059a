"""The figures of clusters draw what their table says, and say what they cannot draw."""

import numpy as np
import pytest
from drawing import GRID, alpha_table, alpha_trajectories, cluster_table, draw, labels, line, small_print
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tokengeometry.figures import style
from tokengeometry.figures.clusters_embedding import clusters_embedding
from tokengeometry.figures.clusters_map import clusters_map


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
