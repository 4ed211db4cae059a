"""Planted power laws are found, and what is not resolved is not fitted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reptrix.alpha import get_alpha
from sklearn.metrics import r2_score
from tokengeometry.geometry.statistics.power_law import fit_power_law


def weighted_least_squares(eigenvalues, first, last, weight):
    """Slope and weighted R² by numpy's polynomial fit, one spectrum at a time."""
    rank = np.arange(first, last + 1)
    x, y, w = np.log(rank), np.log(eigenvalues[first - 1 : last]), weight(rank)
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(w))
    residual = np.average((y - slope * x - intercept) ** 2, weights=w)
    return -slope, 1 - residual / np.average((y - np.average(y, weights=w)) ** 2, weights=w), intercept


@given(alpha=st.floats(0.05, 8), scale=st.floats(1e-6, 1e6), first=st.integers(1, 50), length=st.integers(3, 200))
def test_a_planted_power_law_is_recovered(alpha, scale, first, length):
    eigenvalues = scale * np.arange(1, 301.0) ** -alpha
    law = fit_power_law(eigenvalues, (first, first + length - 1))
    assert law.alpha == pytest.approx(alpha, rel=1e-6)
    assert law.r2 == pytest.approx(1, abs=1e-6)
    assert law.log_amplitude == pytest.approx(np.log(scale), abs=1e-5)
    assert law.ranks == length


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), weights=st.sampled_from(["inverse_rank", "uniform"]))
def test_alpha_and_r2_equal_plain_weighted_least_squares(seed, weights):
    rng = np.random.default_rng(seed)
    eigenvalues = np.sort(np.exp(rng.normal(size=(3, 80), scale=3)), axis=1)[:, ::-1]
    law = fit_power_law(eigenvalues, (5, 60), weights=weights)
    for index in range(3):
        alpha, r2, intercept = weighted_least_squares(
            eigenvalues[index], 5, 60, (lambda j: 1 / j) if weights == "inverse_rank" else np.ones_like
        )
        assert law.alpha[index] == pytest.approx(alpha, rel=1e-9)
        assert law.r2[index] == pytest.approx(r2, rel=1e-9)
        assert law.log_amplitude[index] == pytest.approx(intercept, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("weights", ["inverse_rank", "uniform"])
def test_r2_to_the_last_resolved_rank_is_that_of_the_same_line(weights):
    rng = np.random.default_rng(0)
    # A power law that bends downwards beyond the fit, and noise behind rank 70.
    bent = np.r_[np.arange(1, 41.0) ** -1, 40**3 * np.arange(41, 101.0) ** -4]
    eigenvalues = np.sort(bent * np.exp(rng.normal(size=100, scale=0.05)))[::-1]
    law = fit_power_law(eigenvalues, (5, 40), floor=eigenvalues[70], weights=weights)
    rank = np.arange(5, 71)
    y, line = np.log(eigenvalues[4:70]), law.log_amplitude - law.alpha * np.log(rank)
    expected = r2_score(y, line, sample_weight=1 / rank if weights == "inverse_rank" else None)
    assert law.r2_resolved == pytest.approx(expected, rel=1e-9)
    assert law.r2_resolved < 0.9 < law.r2
    # Within the range nothing else is there to be judged.
    assert fit_power_law(eigenvalues[:40], (5, 40)).r2_resolved == fit_power_law(eigenvalues[:40], (5, 40)).r2


def test_eigenvalues_at_the_floor_are_not_fitted():
    eigenvalues = np.maximum(np.arange(1, 101.0) ** -2, 40.0**-2)
    law = fit_power_law(eigenvalues, (5, 80), floor=40.0**-2)
    assert law.resolved == 39
    assert law.ranks == 35
    assert law.alpha == pytest.approx(2, rel=1e-9)
    assert fit_power_law(eigenvalues, (5, 80)).alpha < 1.9


def test_ranks_beyond_the_samples_are_not_fitted():
    eigenvalues = np.arange(1, 101.0) ** -1.5
    eigenvalues[29:] = 1e-3
    law = fit_power_law(eigenvalues, (5, 80), samples=30)
    assert (law.resolved, law.ranks) == (29, 25)
    assert law.alpha == pytest.approx(1.5, rel=1e-9)


def test_a_spectrum_without_enough_resolved_ranks_gets_nothing():
    eigenvalues = np.stack([np.zeros(50), np.r_[np.arange(1, 15.0) ** -1, np.zeros(36)], np.arange(1, 51.0) ** -1])
    law = fit_power_law(eigenvalues, (5, 40), min_ranks=11)
    np.testing.assert_array_equal(np.isnan(law.alpha), [True, True, False])
    np.testing.assert_array_equal(np.isnan(law.r2), [True, True, False])
    np.testing.assert_array_equal(law.ranks, [0, 0, 36])
    np.testing.assert_array_equal(law.resolved, [0, 14, 50])
    assert fit_power_law(eigenvalues, (5, 40), min_ranks=10).alpha[1] == pytest.approx(1)


def test_negative_eigenvalues_of_a_singular_covariance_are_not_resolved():
    law = fit_power_law(np.r_[np.arange(1, 21.0) ** -1, np.full(20, -1e-18)], (2, 40))
    assert law.resolved == 20
    assert law.alpha == pytest.approx(1)


@pytest.mark.parametrize("ranks", [(0, 10), (5, 5), (6, 5), (1, 51)])
def test_a_range_outside_the_spectrum_is_refused(ranks):
    with pytest.raises(ValueError, match=f"ranks {ranks[0]}…{ranks[1]} are not within 1…50"):
        fit_power_law(np.arange(1, 51.0) ** -1, ranks)


@pytest.mark.parametrize("decay", [0.7, 1.3, 2.4])
def test_alpha_is_that_of_the_public_code_of_the_papers_authors(decay):
    # Two tokens' samples with a knee in their spectrum, as of real layers; the spectrum is reptrix's own too.
    rng = np.random.default_rng(0)
    rank = np.arange(1, 161.0)
    scales = np.sqrt(rank**-decay / (1 + rank / 40))
    for mixing in np.linalg.qr(rng.normal(size=(2, 160, 160)))[0]:
        samples = rng.normal(size=(500, 160)) * scales @ mixing + rng.normal(size=160)
        # It adds 1 to the range that it is given, in place: one is made anew for every call.
        expected = get_alpha(torch.from_numpy(samples), fit_range=np.arange(10, 100))[0]
        eigenvalues = np.linalg.eigvalsh(np.cov(samples.T, bias=True))[::-1]
        law = fit_power_law(eigenvalues, (11, 100), samples=500)
        assert law.ranks == 90
        assert law.alpha == pytest.approx(expected, rel=1e-6)
        # One rank more is another number.
        assert fit_power_law(eigenvalues, (10, 100), samples=500).alpha != pytest.approx(expected, rel=1e-4)


def test_a_rank_of_noise_between_others_leaves_them_in_the_fit():
    eigenvalues = np.arange(1, 61.0) ** -1.5
    floor = np.where(np.arange(1, 61) == 20, 1, 0)
    law = fit_power_law(eigenvalues, (11, 50), floor=np.stack([floor, 0 * floor]), samples=100)
    assert law.ranks.tolist() == law.within.tolist() == [39, 40]
    assert law.resolved.tolist() == [59, 60]
    np.testing.assert_allclose(law.alpha, 1.5)
