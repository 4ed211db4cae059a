"""Statements on places: planted maps of which they are true, and of which they are false."""

import numpy as np
import pytest
from planted import GRID, LAYERS, alphas, clusters, valley, verdicts
from scipy.stats import kruskal, norm
from tokengeometry.geometry.claims import places
from tokengeometry.geometry.claims.verdicts import against

ROW, COLUMN = np.indices((16, 16))
DISTANCE = np.minimum.reduce([ROW, COLUMN, 15 - ROW, 15 - COLUMN])
RINGS = np.where(DISTANCE < 2, 3, np.where(DISTANCE < 5, 2, 1))
RNG = np.random.default_rng(0)
# Smooth, but elsewhere: two halves and a band, moved off the middle.
BANDS = np.where(np.roll(COLUMN, 5, axis=1) < 5, 1, np.where(np.roll(COLUMN, 5, axis=1) < 11, 2, 3))


def judged(labels):
    return verdicts(places.of_clusters(clusters(labels, labels + 0.1 * RNG.normal(size=labels.shape)), labels.shape))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (RINGS, ["holds", "holds"]),
        # As smooth as places are, but no rings: the null that keeps smoothness tells them apart.
        (BANDS, ["holds", "does not hold"]),
        (RNG.permuted(RINGS.ravel()).reshape(16, 16), ["does not hold", "does not hold"]),
        (np.ones((16, 16), int), [None, "can't be told here"]),
        (np.zeros((16, 16), int), ["can't be told here", "can't be told here"]),
    ],
)
def test_clusters_as_places(labels, expected):
    found = judged(labels)
    for claim, verdict in zip(("5a", "5b"), expected, strict=True):
        assert verdict in (None, found[claim].verdict), found[claim]


def test_a_small_grid_has_too_few_shifts():
    labels = np.full((4, 4), 2)
    labels[1:3, 1:3] = 1
    found = judged(labels)["5b"]
    assert found.verdict == "can't be told here"
    assert "15 shifts are too few" in found.why


@pytest.mark.parametrize("missing", [0, 7])
def test_morans_i_is_its_definition_with_a_dense_matrix_of_weights(missing):
    values = np.random.default_rng(1).normal(size=(6, 9)).cumsum(axis=1)
    values.ravel()[:missing] = np.nan
    row, column = (index[np.isfinite(values)] for index in np.indices(values.shape))
    weights = (np.maximum(abs(row[:, None] - row), abs(column[:, None] - column)) == 1).astype(float)
    z = values[np.isfinite(values)] - np.nanmean(values)
    expected = len(z) / weights.sum() * (z @ weights @ z) / (z @ z)
    assert places.morans_i(values) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("missing", [0, 7])
def test_morans_i_and_its_null_are_those_of_esda(missing):
    from esda import Moran
    from libpysal.weights import lat2W, w_subset

    # A map with a little autocorrelation, so that p is neither end.
    values = np.random.default_rng(3).normal(size=(6, 9))
    values = values + 0.25 * np.roll(values, 1, axis=0)
    values.ravel()[:missing] = np.nan
    there = np.flatnonzero(np.isfinite(values))
    weights = w_subset(lat2W(*values.shape, rook=False), there.tolist())
    expected = Moran(values.ravel()[there], weights, transformation="B", permutations=0)
    assert places.morans_i(values) == pytest.approx(expected.I, rel=1e-12)
    null = places.permuted(values)
    assert null.std() == pytest.approx(expected.seI_rand, rel=0.1)
    p, _ = against(places.morans_i(values), null)
    assert 0.01 < p < 0.4
    assert p == pytest.approx(norm.sf(expected.z_rand), abs=0.05)


def test_permutations_have_the_mean_of_theory():
    values = np.random.default_rng(2).normal(size=(8, 8)).cumsum(axis=0)
    assert places.permuted(values).mean() == pytest.approx(-1 / 63, abs=4 * 0.07 / np.sqrt(999))


def test_the_explained_share_is_kruskals_h():
    labels = np.random.default_rng(3).integers(0, 4, size=(16, 16))
    groups = [DISTANCE[labels == label] for label in (1, 2, 3)]
    expected = kruskal(*groups).statistic / ((labels > 0).sum() - 1)
    assert places.explained(labels, places.distance_to_border((16, 16))) == pytest.approx(expected, rel=1e-12)


def test_the_distance_to_the_border_does_not_change_when_the_grid_is_turned():
    distance = places.distance_to_border((5, 5))
    np.testing.assert_array_equal(distance, np.rot90(distance))
    np.testing.assert_array_equal(distance, distance[::-1])
    np.testing.assert_array_equal(places.distance_to_border((16, 16)), DISTANCE)


def test_shifts_are_all_but_the_one_that_leaves_the_map():
    found = places.shifted(RINGS, DISTANCE)
    assert len(found) == 255
    assert found.max() < places.explained(RINGS, DISTANCE)


@pytest.mark.parametrize(("more", "verdict"), [(0.3, "holds"), (-0.3, "does not hold"), (0.0, "can't be told here")])
def test_corners(more, verdict):
    corner = np.zeros(GRID)
    for rows in (slice(0, 2), slice(-2, None)):
        for columns in (slice(0, 2), slice(-2, None)):
            corner[rows, columns] = 1
    spatial = valley(8)[None] + more * corner.reshape(-1, 1)
    its = alphas(spatial, np.full(len(LAYERS), 9.0))
    (found,) = places.of_corners(its, GRID)
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(more, abs=1e-9)
    # What tokens share goes out; 16 corners and 48 others, twelve layers.
    error = 0.01 * np.sqrt(0.5 * (1 / 16 + 1 / 48) / 12)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(error, rel=0.15)
    assert "16 corner tokens" in found.why


def test_small_grids_have_corners_of_one_token():
    assert places.corner_cells((4, 7)).sum() == 4
    assert places.corner_cells((8, 9)).sum() == 16


def test_corners_without_folds_are_not_told():
    (found,) = places.of_corners(alphas(valley(8), folds=False), GRID)
    assert (found.verdict, found.why) == ("can't be told here", "uncertainty.folds is 0")
