"""The number of clusters: planted ones are found, and one Gaussian is not taken for several."""

import numpy as np
import pytest
from planted import alphas, valley, verdicts
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits
from tokengeometry.geometry import clusters
from tokengeometry.geometry.claims import clustering
from tokengeometry.geometry.claims.branch import halves
from tokengeometry.geometry.claims.verdicts import in_rows
from tokengeometry.geometry.clusters import cluster_trajectories
from umap import UMAP

SETTINGS = dict(count=3, neighbors=10, min_dist=0.1, seed=0)
RNG = np.random.default_rng(0)
# Not on one line: two groups have the same mean over the layers.
CENTRES = np.array([[1.0] * 6, [3.0] * 3 + [1.0] * 3, [1.0] * 3 + [3.0] * 3])
GROUPS = np.repeat(CENTRES, 20, axis=0) + 0.05 * RNG.normal(size=(60, 6))
ONE = RNG.normal(size=(60, 6)) * [3, 1, 1, 1, 1, 1]
MOVES = 0.3 * RNG.normal(size=GROUPS.shape)
LARGER_MOVES = 0.5 * RNG.normal(size=ONE.shape)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def of_groups():
    return verdicts(clustering.of_trajectories(GROUPS, MOVES, SETTINGS))


@pytest.fixture(scope="module")
def of_one():
    return verdicts(clustering.of_trajectories(ONE, LARGER_MOVES, SETTINGS))


def test_three_planted_groups_are_three_clusters(of_groups):
    claims = ["6a", "6b", "6c", "6f", "6g", "6h"]
    told = {claim: of_groups[claim].verdict for claim in claims}
    assert told == dict.fromkeys(claims, "holds"), of_groups
    assert of_groups["6b"].estimate == 3
    # Equally distant groups: the two rules of the gap statistic disagree.
    assert of_groups["6d"].verdict == "can't be told here"
    assert "3 by the largest" in of_groups["6d"].why
    assert of_groups["6e"].estimate == of_groups["6f"].estimate == of_groups["6g"].estimate == pytest.approx(1.0)


def test_one_gaussian_is_not_three_clusters(of_one):
    claims = ["6a", "6b", "6c", "6d", "6e", "6f", "6g", "6h"]
    told = {claim: of_one[claim].verdict for claim in claims}
    assert told == dict.fromkeys(claims, "does not hold"), of_one
    assert of_one["6b"].estimate == 1


def test_every_index_stands_beside_its_null(of_groups, of_one):
    for found in (of_groups, of_one):
        for claim in ("6a", "6c", "6e", "6f", "6g"):
            assert np.isfinite([found[claim].p, found[claim].reference]).all()
            assert "null: 20 draws of one Gaussian" in found[claim].statistic


def test_the_plane_is_that_of_umaps_own_distances():
    start = clusters._start(GROUPS, 3)
    own = UMAP(n_neighbors=10, min_dist=0.1, random_state=3, n_jobs=1, init=start).fit_transform(GROUPS)
    assert np.array_equal(cluster_trajectories(GROUPS, **SETTINGS | {"seed": 3}).embedding, own)


def test_without_folds_the_halves_are_not_told():
    _, moves, doubt = halves(alphas(valley(8), folds=False))
    assert moves is None
    small = clustering.of_trajectories(GROUPS, moves, SETTINGS, doubt)
    assert (verdicts(small)["6f"].verdict, verdicts(small)["6f"].why) == (
        "can't be told here",
        "uncertainty.folds is 0",
    )
    assert (verdicts(small)["6a"].verdict, verdicts(small)["6h"].verdict) == ("holds", "can't be told here")
    assert list(in_rows(small).claim) == [f"6{letter}" for letter in "abcdefghi"]


def test_too_few_trajectories_are_not_told():
    (found,) = clustering.of_trajectories(np.empty((0, 0)), None, SETTINGS)
    assert found.verdict == "can't be told here"


def test_equal_trajectories_are_no_clusters():
    (found,) = clustering.of_trajectories(np.full((12, 4), 1.5), None, SETTINGS)
    assert (found.verdict, found.why) == ("can't be told here", "all trajectories are equal")


def test_silhouettes_and_sums_are_those_of_plain_loops():
    silhouette, spread = clustering.sweep(GROUPS, 5, 0)
    assert np.isnan(silhouette[0])
    for k in range(1, 6):
        labels = KMeans(k, n_init=10, random_state=0).fit_predict(GROUPS)
        # W by its definition: squared distances between all pairs of a cluster, over twice its size.
        w = 0.0
        for label in range(k):
            its = GROUPS[labels == label]
            w += sum(((one - other) ** 2).sum() for one in its for other in its) / (2 * len(its))
        assert spread[k - 1] == pytest.approx(np.log(w), rel=1e-9)
        if k > 1:
            assert silhouette[k - 1] == pytest.approx(silhouette_score(GROUPS, labels))


def test_the_gap_statistic_is_that_of_a_slow_loop():
    rng = np.random.default_rng(1)
    spread, nulls = np.sort(rng.normal(size=6))[::-1], np.sort(rng.normal(size=(9, 6)), axis=1)[:, ::-1]
    gaps, errors, first, best = clustering.gap(spread, nulls)
    slow = []
    for index in range(6):
        mean = sum(null[index] for null in nulls) / 9
        deviation = np.sqrt(sum((null[index] - mean) ** 2 for null in nulls) / 9)
        slow.append((mean - spread[index], deviation * np.sqrt(1 + 1 / 9)))
    np.testing.assert_allclose(np.transpose([gaps, errors]), slow)
    largest = max(slow)
    assert first == next(i + 1 for i in range(6) if i == 5 or slow[i][0] >= slow[i + 1][0] - slow[i + 1][1])
    assert best == next(i + 1 for i in range(6) if slow[i][0] >= largest[0] - largest[1])


def test_the_null_has_the_mean_and_covariance_of_the_trajectories():
    drawn = clustering.one_gaussian(ONE, 300, 0).reshape(-1, 6)
    np.testing.assert_allclose(drawn.mean(axis=0), ONE.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(ONE.T), atol=0.35)


def test_the_cut_and_the_first_axis_are_what_they_say():
    labels = np.array([1, 2, 2, 3, 3, 3])
    points = np.array([[5.0], [1], [4], [2], [3], [0]])
    assert clustering.cut_by_mean(points, labels).tolist() == [3, 2, 3, 2, 3, 1]
    assert clustering.first_axis(ONE) == pytest.approx(PCA().fit(ONE).explained_variance_ratio_[0])


def test_agreements_are_of_the_studys_clusters():
    found = clustering.indices(ONE, (ONE, ONE), SETTINGS, 3, 4)
    labels = [cluster_trajectories(ONE, **SETTINGS | {"seed": seed}).label for seed in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert found.agreement["seeds"] == pytest.approx(
        np.mean([adjusted_rand_score(labels[i], labels[j]) for i, j in pairs])
    )
    assert found.agreement["halves"] == pytest.approx(1.0)


def test_halves_move_by_the_mean_influence_of_their_images():
    its = alphas(valley(8), np.full(13, 1.0), error=0.05)
    points, moves, doubt = halves(its)
    assert (points.shape, doubt) == ((64, 13), "")
    np.testing.assert_allclose(moves[5, 7], its.influence[6, 7, ::2].mean(), rtol=1e-5)
    np.testing.assert_allclose(its.influence[6, 7, 1::2].mean(), -moves[5, 7], atol=1e-6)
    # Half of the images: its α differs from all images' by one standard error.
    assert moves.std() == pytest.approx(0.05 * np.sqrt(2000 / 400), rel=0.2)
