"""Policies merge and drop what they say, by other ways to find it."""

import numpy as np
import pytest
import torch
from reducible import PLACES, small_model, some_geometry, some_images
from sklearn.cluster import AgglomerativeClustering
from tokengeometry.errors import StudyError
from tokengeometry.reduction import groups, policies
from tokengeometry.reduction.layer import Layer
from tokengeometry.reduction.patching import reduce
from tokengeometry.reduction.policies.grid import merges

pytestmark = pytest.mark.usefixtures("one_thread")


def a_layer(grid, remove, prefix=1, **geometry):
    places = torch.arange(prefix, prefix + grid[0] * grid[1])[None]
    return Layer(1, remove, prefix, grid, places, **geometry)


def group(policy, layer, tokens=None):
    count = layer.prefix + layer.grid[0] * layer.grid[1]
    tokens = torch.zeros(1, count, 2) if tokens is None else tokens
    return np.asarray(policies.load(policy).group(tokens, tokens[:, None], torch.ones(tokens.shape[:2]), layer))


def partition(labels):
    """Which tokens are together, whatever their groups are called."""
    return {frozenset(np.flatnonzero(labels == label)) for label in np.unique(labels)}


def test_correlated_places_are_merged_as_scikit_learn_clusters_them():
    matrix = np.corrcoef(np.random.default_rng(1).normal(size=(PLACES, 6)))
    found = group("correlation", a_layer((6, 5), 18, correlation=matrix))
    clusters = AgglomerativeClustering(PLACES - 18, metric="precomputed", linkage="average").fit_predict(1 - matrix)
    assert found[0] == 0
    assert partition(found[1:]) == partition(clusters)


def test_highest_and_lowest_alpha_are_dropped():
    alpha = np.arange(12.0)[::-1]
    layer = a_layer((3, 4), 5, alpha=alpha)
    assert group("alpha_prune", layer).tolist() == [0] + [-1] * 5 + [1, 2, 3, 4, 5, 6, 7]
    assert group("alpha_prune_lowest", layer).tolist() == [0, 1, 2, 3, 4, 5, 6, 7] + [-1] * 5


def test_a_place_without_alpha_goes_first():
    alpha = np.array([1, np.nan, 3, 2])
    for policy in ("alpha_prune", "alpha_prune_lowest"):
        assert group(policy, a_layer((2, 2), 1, alpha=alpha)).tolist() == [0, 1, -1, 2, 3]
    merged = group("alpha_merge", a_layer((2, 2), 1, alpha=alpha), torch.eye(5)[None])
    assert len(np.unique(merged)) == 4
    assert (merged == merged[0, 2]).sum() == 2


def test_the_highest_alpha_joins_the_key_most_like_its_own():
    tokens = torch.tensor([[[1, 0], [1, 0.1], [0, 1], [0.2, 1], [-1, 0]]])
    merged = group("alpha_merge", a_layer((2, 2), 1, alpha=np.array([1, 1, 9, 1])), tokens)
    assert merged.tolist() == [[0, 1, 2, 2, 3]]


def test_random_places_differ_by_seed_and_block_only():
    for policy in ("random_merge", "random_prune"):
        layers = [a_layer((6, 5), 9, alpha=None)] * 2
        first, again = (group(policy, layer) for layer in layers)
        assert first.tolist() == again.tolist()
        others = [Layer(1, 9, 1, (6, 5), seed=1), Layer(2, 9, 1, (6, 5))]
        assert all(group(policy, other).tolist() != first.tolist() for other in others)


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (6, 5), (3, 7), (1, 5)])
def test_a_grid_is_pooled_in_whole_rounds(grid):
    places = grid[0] * grid[1]
    pairs = merges(grid) if places > 1 else np.empty((0, 2))
    assert len(pairs) == places - 1
    # A round of columns leaves half of them.
    after = places - grid[0] * -(-grid[1] // 2)
    if 0 < after < places:
        label = group("grid", a_layer(grid, after))[1:].reshape(grid)
        assert all(len(np.unique(label[:, column : column + 2])) == grid[0] for column in range(0, grid[1], 2))


def test_pooled_cells_are_spread_over_the_image():
    label = group("grid", a_layer((8, 8), 16))[1:].reshape(8, 8)
    merged = np.argwhere(np.bincount(label.ravel())[label] > 1)
    halves = (merged[:, 0] < 4).mean(), (merged[:, 1] < 4).mean()
    assert all(0.35 <= half <= 0.65 for half in halves)


def test_grid_pools_rectangles_over_several_blocks():
    model = small_model()
    # 6 × 5: a round of columns leaves 6 × 3, a round of rows 3 × 3, another of columns 3 × 2.
    with torch.inference_mode(), reduce(model, [12, 9, 3], policy="grid", traced=True) as reduction:
        model(some_images(1))
    row, column = np.indices((6, 5))
    for places, (rows, columns) in zip(reduction.trace, ((1, 2), (2, 2), (2, 4)), strict=True):
        cells = row // rows * 5 + column // columns
        assert partition(places[0].numpy()) == partition(cells.ravel())


def test_means_over_places_follow_what_a_token_holds():
    layer = Layer(1, 0, 1, (2, 2), torch.tensor([[1, 2, 1, -1]]))
    assert layer.of_tokens(np.array([1.0, 5, 3, 99])).tolist() == [2, 5]
    assert layer.of_tokens(np.array([1.0, np.nan, np.nan, 99]))[0] == 1


def test_a_wrong_policy_is_named(monkeypatch):
    model, images = small_model(), some_images(1)
    tome = policies.load("tome")
    wrong = {
        "its groups are": lambda tokens, *_: np.arange(tokens.shape[1]),
        "prefix tokens": lambda tokens, *_: np.r_[1, 0, np.arange(2, tokens.shape[1] - 1), 5],
    }
    for said, function in wrong.items():
        monkeypatch.setattr(tome, "group", function)
        with pytest.raises(StudyError, match=said), reduce(model, [1, 0, 0]):
            model(images)


def test_an_unknown_policy_is_named():
    with pytest.raises(StudyError, match="did you mean random_merge"):
        policies.load("random_merges")


def test_what_is_dropped_leaves_no_trace():
    tokens, into = torch.tensor([[[1.0], [2], [30], [4]]]), torch.tensor([[0, 1, -1, 1]])
    found, sizes = groups.merged(tokens, torch.tensor([[1.0, 3, 1, 1]]), into, 2)
    assert found.tolist() == [[[1], [2.5]]]
    assert sizes.tolist() == [[1, 4]]
    assert groups.moved(torch.tensor([[1, 2, 3, -1]]), into).tolist() == [[1, -1, 1, -1]]


def test_every_policy_takes_the_geometry_of_its_block():
    model, images = small_model(), some_images(1)
    geometry = some_geometry()
    with torch.inference_mode():
        with reduce(model, [0, 0, 10], policy="alpha_prune", geometry=geometry) as reduction:
            model(images)
        dropped = np.flatnonzero(reduction.places[0].numpy() < 0)
    assert set(dropped) == set(np.argsort(geometry.alpha[3])[-10:])
