"""Errors and corrected values of α: against derivatives, bootstraps, planted spectra and plain linear algebra."""

import itertools

import numpy as np
import pytest
from threadpoolctl import threadpool_limits
from tokengeometry.geometry import concatenated
from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.geometry.uncertainty import fits, spectra
from tokengeometry.geometry.uncertainty.bands import FIRST_RANKS, LAST_RANKS, band_sums, rank_bands

RANKS = (11, 100)
PLANTED = [(1.0, False), (2.5, False), (1.5, True)]


def draw(rng, samples, features, alpha, elliptical=False):
    """Images of one token with a planted spectrum: Gaussian, or elliptical t with 5 degrees of freedom."""
    values = rng.normal(size=(samples, features)) * np.arange(1, features + 1.0) ** (-alpha / 2)
    if elliptical:
        values *= np.sqrt(3 / rng.chisquare(5, size=samples))[:, None]
    return values + 3.0


def covariance(values, weights=None):
    """By numpy, as the paper has it: divided by N."""
    return np.cov(values, rowvar=False, aweights=weights, ddof=0)


def alpha_of(matrix, weights="inverse_rank", ranks=RANKS):
    return fit_power_law(np.linalg.eigvalsh(matrix)[::-1], ranks, weights=weights).alpha


def estimate(values, folds, weights="inverse_rank", ranks=RANKS):
    folded = spectra.of_vectors(values, folds)
    used = np.ones(len(folded.eigenvalues), bool)
    return fits.estimate(folded.eigenvalues, used, len(values), folded, folds, ranks=ranks, weights=weights)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with threadpool_limits(1):
        yield


def derivatives(values, images, weights, ranks):
    """Of α in the weight of an image, N times: by central differences."""
    step, found = 1e-3, []
    for image in images:
        changed = np.ones((2, len(values)))
        changed[:, image] += [step, -step]
        heavier, lighter = (alpha_of(covariance(values, its), weights, ranks) for its in changed)
        found.append(len(values) * (heavier - lighter) / (2 * step))
    return np.array(found)


@pytest.mark.parametrize("weights", ["inverse_rank", "uniform"])
# Where every rank is a band of its own, it is exact; where bands are wide, ranks count by their mean.
@pytest.mark.parametrize(("ranks", "off"), [((2, 10), 0.002), (RANKS, 0.15)])
def test_influence_is_the_derivative_of_alpha_in_the_weight_of_an_image(weights, ranks, off):
    values = draw(np.random.default_rng(0), 1500, 120, 1.5, elliptical=True)
    images = np.arange(0, 1500, 30)
    found = derivatives(values, images, weights, ranks)
    psi = estimate(values, 2, weights, ranks).influence[images]
    assert (found - psi).std() < off * found.std()
    assert psi.std() == pytest.approx(found.std(), rel=0.02)


@pytest.mark.parametrize(("alpha", "elliptical"), PLANTED)
def test_the_standard_error_is_that_of_a_bootstrap_over_images(alpha, elliptical):
    rng = np.random.default_rng(1)
    values = draw(rng, 2000, 60, alpha, elliptical)
    bootstrap = [alpha_of(covariance(values[rng.integers(0, 2000, 2000)]), ranks=(11, 50)) for _ in range(400)]
    assert estimate(values, 2, ranks=(11, 50)).se == pytest.approx(np.std(bootstrap), rel=0.12)


def test_the_standard_error_of_a_gaussian_is_the_closed_form():
    # Eigenvalues far apart: log λ_j has the variance 2/N, each on its own.
    c = fits.coefficients(np.ones(150, bool), RANKS, "inverse_rank").alpha
    values = np.random.default_rng(2).normal(size=(20000, 150)) * np.exp(-np.arange(150) / 8)
    folded = spectra.of_vectors(values, 2)
    psi = fits.influence(folded, c)
    assert fits.standard_error(psi, 20000) == pytest.approx(np.sqrt(2 / 20000 * np.square(c).sum()), rel=0.03)


def test_errors_from_the_first_part_are_those_from_all_images():
    # Direct mode deals the images of its first part only.
    rng, found = np.random.default_rng(6), []
    for alpha in (1.0, 1.5, 2.5) * 2:
        values = draw(rng, 2000, 150, alpha)
        whole, first = spectra.of_vectors(values, 2), spectra.of_vectors(values[:1000], 2)
        used = np.ones(150, bool)
        found.append(
            [
                fits.estimate(whole.eigenvalues, used, 2000, its, 2, ranks=RANKS, weights="inverse_rank")
                for its in (whole, first)
            ]
        )
    errors = np.array([[its.se for its in pair] for pair in found])
    np.testing.assert_allclose(errors[:, 1], errors[:, 0], rtol=0.05)
    corrected = np.array([[its.corrected for its in pair] for pair in found])
    assert (np.abs(np.diff(corrected, axis=1)[:, 0]) < errors[:, 0]).all()


@pytest.mark.parametrize("folds", [2, 5])
def test_held_out_variances_are_those_of_plain_linear_algebra(folds):
    values = draw(np.random.default_rng(3), 303, 40, 1.5)
    expected = np.zeros(40)
    for fold in range(folds):
        inside = np.arange(303) % folds == fold
        _, vectors = np.linalg.eigh(covariance(values[~inside]))
        expected += np.diag(vectors.T @ covariance(values[inside]) @ vectors)[::-1] / folds
    np.testing.assert_allclose(spectra.of_vectors(values, folds).held_out, expected, rtol=1e-9)


def plainly(values, folds):
    """By numpy in float64, on the whole."""
    values, edges = values.astype(np.float64), rank_bands(values.shape[1])
    number, held_out = np.arange(len(values)) % folds, 0.0
    for fold in range(folds):
        _, vectors = np.linalg.eigh(covariance(values[number != fold]))
        held_out += np.diag(vectors.T @ covariance(values[number == fold]) @ vectors)[::-1] / folds
    eigenvalues, vectors = np.linalg.eigh(covariance(values))
    scores = (np.square((values - values.mean(0)) @ vectors) / eigenvalues)[:, ::-1]
    bands = [scores[:, low:high].mean(1) for low, high in itertools.pairwise(edges)]
    return spectra.Folded(eigenvalues[::-1], held_out, np.transpose(bands), edges)


@pytest.mark.parametrize("folds", [2, 3])
@pytest.mark.parametrize("turned", [False, True])
# From one that float32 resolves at once, through those of which it solves for the tail again, to those it does not do.
@pytest.mark.parametrize("alpha", [0.5, 1.5, 2.5, 2.8, 4.0])
def test_what_float32_leaves_off_is_little_beside_the_standard_error(alpha, turned, folds):
    rng = np.random.default_rng(12)
    values = draw(rng, 1000, 192, alpha)
    if turned:
        values = values @ np.linalg.qr(rng.normal(size=(192, 192)))[0]
    values = values.astype(np.float32)
    used = np.ones(192, bool)
    for ranks in (RANKS, (2, 30), (30, 150), (11, 192)):
        found, expected = (
            fits.estimate(its.eigenvalues, used, 1000, its, folds, ranks=ranks, weights="inverse_rank")
            for its in (spectra.of_vectors(values, folds), plainly(values, folds))
        )
        assert found.corrected == pytest.approx(expected.corrected, abs=0.01 * expected.se)
        assert found.alpha == pytest.approx(expected.alpha, abs=0.01 * expected.se)
        assert found.se == pytest.approx(expected.se, rel=2e-3)
        assert found.curvature == pytest.approx(expected.curvature, abs=0.02 * expected.curvature_se)


def test_ranks_that_the_images_outside_a_fold_have_not_are_0():
    values = draw(np.random.default_rng(7), 16, 40, 1.0).astype(np.float32)
    found = spectra.of_vectors(values, 2)
    assert (found.held_out[:7] > 0).all()
    assert not found.held_out[7:].any()
    corrected = fits.estimate(
        found.eigenvalues, np.arange(40) < 15, 16, found, 2, ranks=(2, 12), weights="inverse_rank"
    ).corrected
    assert np.isnan(corrected)


@pytest.mark.parametrize(("samples", "folds"), [(30, 2), (60, 3), (59, 3)])
def test_fewer_images_than_features_make_what_plain_linear_algebra_makes(samples, folds):
    values = draw(np.random.default_rng(8), samples, 60, 1.0)
    found, expected = spectra.of_vectors(values, folds), plainly(values, folds)
    outside = samples - -(-samples // folds) - 1
    assert found.held_out.shape == found.eigenvalues.shape == (60,)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, atol=1e-13)
    np.testing.assert_allclose(found.held_out[:outside], expected.held_out[:outside], rtol=1e-8)
    assert not found.held_out[outside:].any()
    resolved = found.edges[1:] < samples
    np.testing.assert_allclose(found.scores[:, resolved], expected.scores[:, resolved], rtol=2e-3, atol=1e-4)
    # An eigenvalue of 0 has scores of 1.
    assert (found.scores[:, found.edges[:-1] >= samples - 1] == 1).all()


def test_scores_are_squares_over_eigenvalues():
    values = draw(np.random.default_rng(4), 200, 30, 1.0)
    folded = spectra.of_vectors(values, 2)
    eigenvalues, vectors = np.linalg.eigh(covariance(values))
    squares = np.square((values - values.mean(0)) @ vectors)[:, ::-1] / eigenvalues[::-1]
    np.testing.assert_allclose(folded.scores[:, :10], squares[:, :10], rtol=2e-3, atol=1e-4)
    bands = [squares[:, low:high].mean(1) for low, high in zip(folded.edges[:-1], folded.edges[1:], strict=True)]
    np.testing.assert_allclose(folded.scores, np.transpose(bands), rtol=2e-3, atol=1e-4)


class Stored:
    """Sliced along its first axis, as a store is."""

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, samples):
        return self._values[samples]


@pytest.mark.parametrize("block", [1, 10**12])
def test_a_layer_is_its_tokens_one_by_one_and_all_together(block):
    rng = np.random.default_rng(5)
    values = np.stack([draw(rng, 90, 12, alpha) + alpha for alpha in (1, 1.5, 2, 2.5)], axis=1).astype(np.float32)
    found = spectra.of_layer(Stored(values), 3, threads=2, block_bytes=block)
    in_memory = spectra.of_layer(values, 3)
    for kind, its in found.items():
        np.testing.assert_array_equal(its.scores, in_memory[kind].scores)
    for token in range(4):
        its = spectra.of_vectors(values[:, token], 3)
        for name in ("eigenvalues", "held_out", "scores"):
            np.testing.assert_array_equal(getattr(found["token"], name)[token], getattr(its, name))
    averaged = spectra.of_vectors(values.mean(axis=1, dtype=np.float64), 3)
    np.testing.assert_allclose(found["averaged"].held_out, averaged.held_out, rtol=1e-9)
    together = values.reshape(-1, 12).astype(np.float64)
    eigenvalues, vectors = np.linalg.eigh(covariance(together))
    # Tokens were multiplied in float32.
    np.testing.assert_allclose(found["pooled"].eigenvalues, eigenvalues[::-1], rtol=1e-6)
    squares = np.square((together - together.mean(0)) @ vectors)[:, ::-1] / eigenvalues[::-1]
    by_image = squares.reshape(90, 4, 12).mean(axis=1)
    np.testing.assert_allclose(found["pooled"].scores[:, :10], by_image[:, :10], rtol=2e-3, atol=1e-3)
    number, expected = np.repeat(np.arange(90) % 3, 4), np.zeros(12)
    for fold in range(3):
        _, vectors = np.linalg.eigh(covariance(together[number != fold]))
        expected += np.diag(vectors.T @ covariance(together[number == fold]) @ vectors)[::-1] / 3
    np.testing.assert_allclose(found["pooled"].held_out, expected, rtol=1e-6)


def test_of_the_gram_matrix_is_of_the_vectors():
    values = draw(np.random.default_rng(6), 60, 20, 1.0)
    folded = spectra.of_vectors(values, 3)
    eigenvalues, _, found = concatenated.spectrum(values[:, None], folds=3, products="float64")
    np.testing.assert_allclose(eigenvalues, folded.eigenvalues, rtol=1e-8)
    np.testing.assert_allclose(found.eigenvalues[:20], folded.eigenvalues, rtol=1e-8)
    np.testing.assert_allclose(found.held_out[:20], folded.held_out, rtol=1e-8)
    np.testing.assert_allclose(found.scores[:, :10], folded.scores[:, :10], rtol=2e-3, atol=1e-3)


def test_a_constant_token_has_no_scores_and_no_error():
    values = np.full((50, 8), 0.1)
    folded = spectra.of_vectors(values, 2)
    assert (folded.scores == 1).all()
    assert np.abs(folded.eigenvalues).max() < 1e-30


@pytest.mark.parametrize("count", [5, 40, 99, 192, 384, 588, 768, 1999])
def test_bands_have_every_rank_once_and_the_ranges_at_their_edges(count):
    edges = rank_bands(count)
    assert edges[0] == 0
    assert edges[-1] == count
    assert (np.diff(edges) > 0).all()
    assert {min(first - 1, count) for first in FIRST_RANKS} <= set(edges)
    assert {min(last, count) for last in LAST_RANKS} <= set(edges)
    wide = edges[1:][edges[:-1] >= 10] / edges[:-1][edges[:-1] >= 10]
    assert (wide < 1.22).all()


@pytest.mark.parametrize("weights", ["inverse_rank", "uniform"])
def test_coefficients_make_the_fit(weights):
    rng = np.random.default_rng(7)
    eigenvalues = np.sort(np.exp(rng.normal(size=(3, 80))), axis=1)[:, ::-1]
    used = rng.random((3, 80)) < 0.8
    c = fits.coefficients(used, (5, 60), weights)
    for row in range(3):
        ranks = np.arange(5, 61)[used[row, 4:60]]
        weight = np.sqrt(1 / ranks if weights == "inverse_rank" else np.ones(len(ranks)))
        y = np.log(eigenvalues[row, ranks - 1])
        line, parabola = (np.polyfit(np.log(ranks), y, degree, w=weight) for degree in (1, 2))
        assert (c.alpha[row] * np.log(eigenvalues[row])).sum() == pytest.approx(-line[0], rel=1e-9)
        assert (c.curvature[row] * np.log(eigenvalues[row])).sum() == pytest.approx(parabola[0], rel=1e-8)


def test_means_are_those_of_the_tokens_that_have_alpha():
    rng = np.random.default_rng(10)
    tokens = [spectra.of_vectors(draw(rng, 400, 60, alpha), 2) for alpha in (1.0, 1.5, 2.0, 2.5)]
    arrays = [np.stack([getattr(its, name) for its in tokens]) for name in ("eigenvalues", "held_out", "scores")]
    folded = spectra.Folded(*arrays, tokens[0].edges)
    used = np.ones((4, 60), bool)
    # One has too few resolved ranks.
    used[2, 15:] = False
    some, none = np.array([True, False, True, True]), np.array([False, False, True, False])
    means = [(some, (5, 40)), (none, (5, 40)), (some, (11, 30)), (none, (5, 12))]
    found = fits.mean_estimates(folded.eigenvalues, used, 400, folded, 2, means, weights="inverse_rank", min_ranks=20)
    for (count, alpha, corrected, se), (ranks, chosen) in zip(
        found, [((5, 40), [0, 3]), ((5, 40), []), ((11, 30), [0, 3]), ((5, 12), [2])], strict=True
    ):
        assert count == len(chosen)
        if not chosen:
            assert np.isnan([alpha, corrected, se]).all()
            continue
        its = fits.estimate(folded.eigenvalues, used, 400, folded, 2, ranks=ranks, weights="inverse_rank")
        assert alpha == pytest.approx(its.alpha[chosen].mean(), rel=1e-12)
        assert corrected == pytest.approx(its.corrected[chosen].mean(), rel=1e-12)
        assert se == pytest.approx(its.influence[chosen].mean(axis=0).std() / 20, rel=1e-5)


def test_ranks_beyond_the_bands_have_no_correction():
    values = draw(np.random.default_rng(11), 300, 50, 1.0)
    folded, eigenvalues = spectra.of_vectors(values, 2).of(None), np.arange(1, 81.0)[None] ** -1
    every, means = np.ones((1, 80), bool), [(np.array([True]), (5, 40)), (np.array([True]), (5, 70))]
    within, beyond = fits.mean_estimates(eigenvalues, every, 300, folded, 2, means, weights="uniform", min_ranks=10)
    assert np.isfinite(within[1:]).all()
    assert (beyond[1], np.isnan(beyond[2])) == (pytest.approx(1.0), True)
    with pytest.raises(ValueError, match="80 ranks are more than the 50 of the bands"):
        band_sums(np.ones((1, 80)), folded.edges)


def test_curvature_tells_a_bent_spectrum_from_a_power_law():
    rng, z = np.random.default_rng(8), {}
    for bend in (0.0, -0.2):
        x = np.log(np.arange(1, 193.0))
        values = rng.normal(size=(2000, 192)) * np.exp((-1.5 * x + bend * (x - np.log(11)) ** 2) / 2)
        its = estimate(values, 2)
        assert its.curvature == pytest.approx(bend, abs=4 * its.curvature_se)
        z[bend] = its.curvature / its.curvature_se
    assert abs(z[0.0]) < 3
    assert z[-0.2] < -5


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "elliptical"), [(1.0, False), (2.5, True)])
def test_the_corrected_interval_covers_where_the_plain_one_does_not(alpha, elliptical):
    rng = np.random.default_rng(9)
    its = [estimate(draw(rng, 2000, 192, alpha, elliptical), 2) for _ in range(400)]

    def coverage(name):
        return np.mean([abs(getattr(one, name) - alpha) < 1.96 * one.se for one in its])

    assert 0.88 <= coverage("corrected") <= 0.99
    if elliptical:
        assert coverage("alpha") < 0.6


def test_contrasts_respect_that_tokens_share_images():
    rng = np.random.default_rng(10)
    shared = draw(rng, 800, 120, 1.5, elliptical=True)
    values = np.stack([shared + 0.05 * rng.normal(size=shared.shape) * shared.std(0) for _ in range(2)], axis=1)
    folded = spectra.of_layer(values, 2)["token"]
    its = fits.estimate(
        folded.eigenvalues, np.ones((2, 120), bool), 800, folded, 2, ranks=(11, 60), weights="inverse_rank"
    )
    contrast = fits.standard_error(its.influence[0] - its.influence[1], 800)

    def difference(images):
        first, second = (covariance(values[images, token]) for token in (0, 1))
        return alpha_of(first, ranks=(11, 60)) - alpha_of(second, ranks=(11, 60))

    bootstrap = [difference(rng.integers(0, 800, 800)) for _ in range(200)]
    assert contrast == pytest.approx(np.std(bootstrap), rel=0.2)
    assert contrast < 0.5 * np.hypot(*its.se)


def test_a_band_over_many_numbers_is_as_wide_as_the_largest_of_them():
    rng = np.random.default_rng(11)
    alone = rng.normal(size=(1, 1000))
    assert fits.simultaneous_quantile(alone) == pytest.approx(1.96, abs=0.15)
    # The same number many times costs nothing; many independent ones, the maximum of as many normal numbers.
    assert fits.simultaneous_quantile(np.repeat(alone, 50, axis=0)) == pytest.approx(1.96, abs=0.15)
    independent = fits.simultaneous_quantile(rng.normal(size=(50, 5000)))
    assert independent == pytest.approx(np.quantile(np.abs(rng.normal(size=(20000, 50))).max(1), 0.95), rel=0.05)
    assert np.isnan(fits.simultaneous_quantile(np.full((2, 10), np.nan)))
