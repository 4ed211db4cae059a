"""What a page reads back is what went into it, to the precision that docs/explorer.md gives; and it is small."""

import gzip

import numpy as np
import pytest
from tokengeometry.explorer import encoding
from tokengeometry.geometry.statistics.power_law import fit_power_law


def spectra(rng, rows, ranks):
    """Spectra like those of images: power laws whose neighbours keep apart, over 8 orders of magnitude."""
    steps = rng.gamma(3, 1 / 3, (rows, ranks)) * rng.uniform(0.8, 2.5, (rows, 1)) / np.arange(1, ranks + 1)
    steps *= 1 + np.arange(ranks) / 200
    return np.exp(rng.normal(3, 1, (rows, 1)) - np.cumsum(steps, axis=1))


@pytest.mark.parametrize("weights", ["inverse_rank", "uniform"])
@pytest.mark.parametrize("ranks", [(11, 100), (3, 100), (200, 300)])
def test_a_refit_of_what_was_read_back_is_the_fit(rng, ranks, weights):
    values = spectra(rng, 2000, 384)
    resolved = values > 1e-6
    logs, used = encoding.decode_spectra(encoding.encode_spectra(values, 1e-6, resolved))
    np.testing.assert_array_equal(used, resolved)
    assert np.abs(logs - np.log(values)).max() <= encoding.STEP / 2 + 1e-6
    exact = fit_power_law(values, ranks, floor=1e-6, min_ranks=60, weights=weights)
    found = fit_power_law(np.where(used, np.exp(logs), 0.0), ranks, min_ranks=60, weights=weights)
    assert np.nanmax(np.abs(found.alpha - exact.alpha)) < 1e-3
    assert np.nanmax(np.abs(found.r2 - exact.r2)) < 1e-3
    np.testing.assert_array_equal(np.isnan(found.alpha), np.isnan(exact.alpha))


def test_spectra_that_are_0_or_below_the_deepest_step_are_read_back_as_not_resolved(rng):
    values = np.array([[0.0, 0.0, 0.0], [1.0, 1e-80, -1e-20], [1e-12, 1e-12, 1e-13]])
    resolved = values > 1e-15
    logs, used = encoding.decode_spectra(encoding.encode_spectra(values, 1e-15, resolved))
    np.testing.assert_array_equal(used, resolved)
    np.testing.assert_allclose(logs[resolved], np.log(values[resolved]), atol=encoding.STEP / 2 + 1e-6)


def test_correlations_are_read_back_to_half_a_step(rng):
    matrix = np.corrcoef(rng.normal(size=(30, 12)))
    matrix[4] = matrix[:, 4] = np.nan
    found = encoding.decode_correlation(encoding.encode_correlation(matrix), 30)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(matrix) & ~np.eye(30, dtype=bool))
    assert np.nanmax(np.abs(found - matrix)) <= 0.5 / encoding.CORRELATION_STEPS + 1e-12


def in_a_page(array):
    """Bytes of an array in a page: compressed, and in letters of 6 bits."""
    return len(gzip.compress(np.ascontiguousarray(array).tobytes(), 9)) * 4 / 3


def test_spectra_and_correlations_of_the_papers_size_fit_in_their_page(rng):
    """785 tokens × 768 features × 13 layers, from a part of the tokens of one layer."""
    rows, tokens = 60, 785
    encoded = encoding.encode_spectra(spectra(rng, rows, 768), 1e-7, np.full((rows, 768), True))
    of_spectra = sum(map(in_a_page, encoded.values())) * tokens / rows
    places = rng.normal(size=(tokens, 6)).cumsum(axis=0)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    matrix = np.exp(-distances / 8) * (1 + rng.normal(0, 0.02, distances.shape))
    matrix = np.clip((matrix + matrix.T) / 2, -1, 1)
    of_correlations = in_a_page(encoding.encode_correlation(matrix))
    # Bokeh itself, thumbnails and everything that is a number a token have 6 MB.
    assert 13 * (of_spectra + of_correlations) < 25e6 - 6e6
