"""Statistics of spectra and of moments, against closed forms and numpy on the activations themselves."""

import sys

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from tokengeometry.errors import StudyError
from tokengeometry.geometry import statistics
from tokengeometry.geometry.moments import Moments, accumulate
from tokengeometry.geometry.statistics import participation_ratio, power_law, rankme, stable_rank, token_norm

OF_SPECTRA = [name for name in statistics.names() if hasattr(statistics.load(name), "of_spectrum")]
SETTINGS = {"power_law": {"ranks": (2, 8), "min_ranks": 3, "weights": "uniform"}}


@pytest.fixture
def activations(rng):
    """(sample, token, feature), correlated features about a large mean."""
    mixing = rng.normal(size=(4, 12, 12))
    return np.einsum("ntf,tfg->ntg", rng.normal(size=(60, 4, 12)), mixing) + 20


def spectra(activations):
    """Eigenvalues of every token's covariance, (token, rank), by numpy's SVD of the centred samples."""
    centred = activations - activations.mean(axis=0)
    singular = np.linalg.svd(centred.transpose(1, 0, 2), compute_uv=False)
    return singular**2 / len(activations), singular


def test_rankme_is_the_perplexity_of_the_singular_values(activations):
    values, singular = spectra(activations)
    found = rankme.of_spectrum(values, np.zeros_like(values), len(activations))
    np.testing.assert_allclose(found["rankme"], np.exp(entropy(singular, axis=-1)), rtol=1e-10)


def test_participation_ratio_is_of_the_covariance(activations):
    values, _ = spectra(activations)
    found = participation_ratio.of_spectrum(values, np.zeros_like(values), len(activations))["participation_ratio"]
    for token, ratio in enumerate(found):
        covariance = np.cov(activations[:, token].T, bias=True)
        assert ratio == pytest.approx(covariance.trace() ** 2 / (covariance @ covariance).trace(), rel=1e-10)


def test_stable_rank_is_by_the_norms_of_the_centred_samples(activations):
    values, _ = spectra(activations)
    found = stable_rank.of_spectrum(values, np.zeros_like(values), len(activations))["stable_rank"]
    centred = activations - activations.mean(axis=0)
    for token, rank in enumerate(found):
        matrix = centred[:, token]
        assert rank == pytest.approx((np.linalg.norm(matrix) / np.linalg.norm(matrix, 2)) ** 2, rel=1e-10)


@pytest.mark.parametrize("statistic", [rankme, participation_ratio, stable_rank])
@pytest.mark.parametrize("dimensions", [1, 3, 7])
def test_equal_eigenvalues_count_the_dimensions_and_noise_counts_none(statistic, dimensions):
    values = np.array([2.0] * dimensions + [1e-3] * (10 - dimensions))
    found = statistic.of_spectrum(values, np.full(10, 1e-2), 100)
    value, reason = found.values()
    assert value == pytest.approx(dimensions)
    assert str(reason) == ""
    more = statistic.of_spectrum(values, np.zeros(10), 100)
    assert next(iter(more.values())) > dimensions


@pytest.mark.parametrize("name", OF_SPECTRA)
def test_a_constant_token_has_no_value_and_says_so_and_leading_axes_stay(name):
    values = np.stack([np.zeros(10), np.arange(1, 11.0) ** -1.5])
    found = statistics.load(name).of_spectrum(
        np.stack([values, values[::-1]]), np.zeros(10), 100, **SETTINGS.get(name, {})
    )
    assert {array.shape for array in found.values()} == {(2, 2)}
    np.testing.assert_array_equal(np.isnan(next(iter(found.values()))), [[True, False], [False, True]])
    assert found["reason"].tolist() == [["constant", ""], ["", "constant"]]


def test_every_statistic_says_its_name_and_makes_what_its_kind_makes():
    assert set(OF_SPECTRA) < set(statistics.names())
    for name in statistics.names():
        module = statistics.load(name)
        assert module.NAME
        assert module.LABEL
        assert hasattr(module, "of_spectrum") != hasattr(module, "of_moments")
    assert statistics.table_of("power_law") == "alpha"
    assert statistics.table_of("rankme") == "rankme"
    assert not hasattr(power_law, "of_moments")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("NAME = 'x'\nLABEL = 'x'\n", "lacks of_spectrum or of_moments, one of them; "),
        ("def of_spectrum(): ...\n", "lacks NAME, LABEL; "),
        ("NAME = (\n", "line 1: "),
    ],
)
def test_a_file_that_is_no_statistic_is_one_line(tmp_path, monkeypatch, source, message):
    (tmp_path / "odd.py").write_text(source)
    (tmp_path / "not-a-name.py").write_text("")
    monkeypatch.setattr(statistics, "__path__", [*statistics.__path__, str(tmp_path)])
    assert "not-a-name" not in statistics.names()
    monkeypatch.delitem(sys.modules, f"{statistics.__name__}.odd", raising=False)
    with pytest.raises(StudyError, match=f"^statistics: odd.py.*{message}"):
        statistics.load("odd")


def test_an_unknown_statistic_names_the_nearest():
    with pytest.raises(StudyError, match=r"^statistics: there is no 'rankmee'; did you mean rankme\? there are "):
        statistics.load("rankmee")


def test_token_norms_are_those_of_the_samples_whatever_the_batches_and_parts(activations):
    norms = np.linalg.norm(activations, axis=2)
    parts = [
        accumulate([part[:7], part[7:]])
        for part in (activations[:25].astype(np.float32), torch.from_numpy(activations[25:].astype(np.float32)))
    ]
    whole = parts[0].merge(parts[1])
    np.testing.assert_allclose(whole.norms, norms, rtol=1e-6)
    found = token_norm.of_moments(Moments(60, whole.mean, None, None, norms=whole.norms))
    np.testing.assert_allclose(found["mean"], norms.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["median"], np.median(norms, axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["q05"], np.quantile(norms, 0.05, axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["largest"], norms.max(axis=0), rtol=1e-6)
