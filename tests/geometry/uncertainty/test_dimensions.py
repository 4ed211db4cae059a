"""Dimensions of tokens and their errors: against derivatives, a bootstrap over images, and a study by hand."""

import numpy as np
import pandas as pd
import pytest
from tokengeometry.geometry.uncertainty import dimensions, fits, spectra
from tokengeometry.storage import zarr_store

RATIO = {
    "participation_ratio": lambda values: np.trace(values) ** 2 / np.trace(values @ values),
    "leading_share": lambda values: np.linalg.eigvalsh(values)[-10:].sum() / np.trace(values),
}


def covariance(values, weights=None):
    return np.cov(values, rowvar=False, aweights=weights, ddof=0)


def psi(values, measure):
    folded = spectra.of_vectors(values, 2)
    _, derivatives = dimensions.MEASURES[measure](folded.eigenvalues)
    return fits.influence(folded, derivatives)


def images(samples=1500, features=60, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(samples, features)) * np.arange(1, features + 1.0) ** -0.7
    return values * np.sqrt(3 / rng.chisquare(5, size=samples))[:, None] + 2.0


@pytest.mark.parametrize("measure", dimensions.MEASURES)
def test_a_measure_is_that_of_the_covariance(measure):
    matrix = covariance(images())
    value, derivatives = dimensions.MEASURES[measure](np.linalg.eigvalsh(matrix)[::-1])
    assert value == pytest.approx(RATIO[measure](matrix), rel=1e-12)
    # A scale changes neither.
    assert derivatives.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("measure", dimensions.MEASURES)
def test_its_influence_is_the_derivative_in_the_weight_of_an_image(measure):
    values, step = images(), 1e-3
    some = np.arange(0, len(values), 30)
    expected = []
    for image in some:
        changed = np.ones((2, len(values)))
        changed[:, image] += [step, -step]
        heavier, lighter = (RATIO[measure](covariance(values, its)) for its in changed)
        expected.append(len(values) * (heavier - lighter) / (2 * step))
    found = psi(values, measure)[some]
    # Beyond the tenth rank a band counts by its mean.
    assert (found - expected).std() < 0.05 * np.std(expected)


@pytest.mark.parametrize("measure", dimensions.MEASURES)
def test_its_standard_error_is_that_of_a_bootstrap_over_images(measure):
    values, rng = images(), np.random.default_rng(1)
    draws = [RATIO[measure](covariance(values[rng.integers(0, len(values), len(values))])) for _ in range(400)]
    assert fits.standard_error(psi(values, measure), len(values)) == pytest.approx(np.std(draws), rel=0.2)


def second_layer(finished):
    parts = sorted((finished.branch / "activations/layer_02").glob("part_*.zarr"))
    return np.concatenate([zarr_store.open_store(part)["activations"][:] for part in parts])


def test_the_table_has_the_means_of_a_study(finished):
    table = pd.read_csv(finished.branch / "dimensions.csv").set_index(["layer", "group", "measure"])
    images = second_layer(finished)
    assert len(images) == 24
    matrices = [covariance(token) for token in images.astype(np.float64).transpose(1, 0, 2)]
    for measure, of in RATIO.items():
        # The first token is CLS.
        assert table.value[2, "cls", measure] == pytest.approx(of(matrices[0]), rel=1e-5)
        assert table.value[2, "spatial", measure] == pytest.approx(np.mean([of(its) for its in matrices[1:]]), rel=1e-5)
    alpha = pd.read_csv(finished.branch / "alpha.csv")
    spatial = alpha[(alpha.layer == 2) & (alpha.kind == "spatial")]
    assert table.tokens[2, "spatial", "alpha"] == spatial.alpha.notna().sum()
    rows = table[table.low.notna()]
    assert {"participation_ratio", "leading_share"} <= set(rows.index.get_level_values("measure"))
    np.testing.assert_allclose(rows.high - rows.value, 1.96 * rows.se, rtol=1e-4)
    assert (0, "cls", "leading_share") not in table.index


class Store(dict):
    """What is read of an open store."""

    def __init__(self, arrays, **attributes):
        super().__init__(arrays)
        self.attributes = attributes


def test_the_error_of_a_mean_counts_that_tokens_share_images():
    # What makes an image large does so for all its tokens.
    values, rng = images(features=40), np.random.default_rng(2)
    layer = np.stack([values, values[:, ::-1] + rng.normal(size=values.shape), 2 * values], axis=1)
    folded = spectra.of_layer(layer, 2)["token"]
    spectrum = Store(
        {"eigenvalues": folded.eigenvalues, "floor": np.zeros_like(folded.eigenvalues)}, samples=len(layer)
    )
    uncertainty = Store(vars(folded) | {"last_rank": folded.edges[1:]}, samples=len(layer))
    model = {"grid": (1, 3), "prefix_tokens": []}
    found = dimensions.of_group({1: spectrum}, {1: uncertainty}, model, "spatial")
    for measure, of in RATIO.items():
        draws = []
        for _ in range(200):
            some = rng.integers(0, len(layer), len(layer))
            draws.append(np.mean([of(covariance(token[some])) for token in layer.transpose(1, 0, 2)]))
        error = fits.standard_error(found.influence[measure][0], found.samples)
        assert error == pytest.approx(np.std(draws), rel=0.25)
        alone = [fits.standard_error(psi(token, measure), len(layer)) for token in layer.transpose(1, 0, 2)]
        assert error > 1.3 * np.sqrt(np.square(alone).sum()) / 3
