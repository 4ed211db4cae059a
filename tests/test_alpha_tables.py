"""Tables of α with how sure it is: of a small study, against the same numbers put together by hand."""

import numpy as np
import pandas as pd
import pytest
from small_study import SMALL
from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.geometry.uncertainty import fits
from tokengeometry.geometry.uncertainty.stores import read
from tokengeometry.storage import zarr_store

FIT = SMALL["fit"]
# Images in folds, all images, and folds.
M, N, K = 16, 24, 2


def alpha_of(eigenvalues, ranks=FIT["ranks"]):
    return fit_power_law(eigenvalues, ranks, weights=FIT["weights"]).alpha


@pytest.fixture(scope="module")
def tables(finished):
    return {
        name: pd.read_csv(finished.branch / f"{name}.csv")
        for name in ("alpha", "alpha_means", "fit_ranges", "clusters")
    }


@pytest.fixture(scope="module")
def images(finished):
    """Layer 2 of the images in folds, (sample, token, feature)."""
    store = zarr_store.open_store(finished.branch / "activations/layer_02/part_000.zarr")
    return store["activations"][:M].astype(np.float64)


def covariance(values):
    return np.cov(values, rowvar=False, ddof=0)


def held_out(values):
    """The variances of held-out vectors, by plain linear algebra; (image, vector, feature)."""
    found = 0
    for fold in range(K):
        inside, outside = values[fold::K], values[1 - fold :: K]
        _, vectors = np.linalg.eigh(covariance(outside.reshape(-1, values.shape[-1])))
        found = found + np.diag(vectors.T @ covariance(inside.reshape(-1, values.shape[-1])) @ vectors)[::-1] / K
    return found


def test_the_corrected_value_is_put_together_from_all_images_and_the_folds(tables, images):
    rows = tables["alpha"][tables["alpha"].layer == 2].set_index("name")
    # A fold's complement of 8 images has 7 ranks: only pooled tokens have enough for ranks 2 to 15.
    its = alpha_of(np.linalg.eigvalsh(covariance(images.reshape(-1, images.shape[-1])))[::-1])
    bias = its - alpha_of(held_out(images))
    assert rows.alpha_corrected["pooled"] == pytest.approx(
        rows.alpha["pooled"] - bias * (K - 1) / (2 * K - 1) * M / N, rel=1e-5
    )


def test_an_interval_is_1_96_errors_about_the_corrected_value(tables):
    for table in (tables["alpha"], tables["fit_ranges"]):
        its = table[table.alpha_corrected.notna() & table.se.notna()]
        assert len(its)
        np.testing.assert_allclose(its.high - its.alpha_corrected, 1.96 * its.se, rtol=1e-4)
        np.testing.assert_allclose(its.low + its.high, 2 * its.alpha_corrected, rtol=1e-9)
    # The error of a mean needs no folds, its interval does.
    means = tables["alpha_means"]
    assert means.se.notna().any()
    assert means.low[means.alpha_corrected.isna()].isna().all()


def test_whatever_is_not_to_be_trusted_says_why(tables):
    alpha = tables["alpha"]
    assert not alpha.trusted.any()
    assert alpha.doubt.notna().all()
    of = alpha.set_index(["layer", "name"]).doubt
    assert of[2, "pooled"] == "16 images in folds are fewer than 20 times rank 15"
    assert of[2, "concatenated"] == "folds have 11 ranks"
    assert (alpha.alpha.notna() | alpha.alpha_corrected.isna()).all()


def test_means_are_over_the_tokens_of_their_group(tables):
    alpha, means = tables["alpha"], tables["alpha_means"].set_index(["layer", "group"])
    spatial = alpha[alpha.kind == "spatial"].merge(tables["clusters"][["token", "cluster"]], on="token")
    for layer in (0, 1, 2):
        its = spatial[spatial.layer == layer]
        assert means.alpha[layer, "spatial"] == pytest.approx(its.alpha.mean(), rel=1e-9)
        assert means.tokens[layer, "spatial"] == its.alpha.notna().sum()
        for cluster, rows in its.groupby("cluster"):
            assert means.alpha[layer, f"cluster {cluster:.0f}"] == pytest.approx(rows.alpha.mean(), rel=1e-9)
        every = alpha[(alpha.layer == layer) & alpha.kind.isin(["prefix", "spatial"])]
        assert means.alpha[layer, "tokens"] == pytest.approx(every.alpha.mean(), rel=1e-9)
        both = its[its.alpha_corrected.notna()]
        if len(both) == its.alpha.notna().sum():
            assert means.alpha_corrected[layer, "spatial"] == pytest.approx(both.alpha_corrected.mean(), rel=1e-6)


def test_the_error_of_a_mean_is_that_of_its_tokens_influences_image_by_image(tables, finished):
    spectra, errors = (
        zarr_store.open_store(finished.branch / f"{name}/layer_02.zarr") for name in ("spectra", "uncertainty")
    )
    eigenvalues, floor = spectra["eigenvalues"][:], spectra["floor"][:]
    used = resolved(eigenvalues, floor, N)
    psi = fits.estimate(
        eigenvalues, used, N, read(errors, "token"), K, ranks=FIT["ranks"], weights=FIT["weights"]
    ).influence
    # The first token is CLS.
    expected = psi[1:].mean(axis=0).std() / np.sqrt(N)
    means = tables["alpha_means"].set_index(["layer", "group"])
    assert means.se[2, "spatial"] == pytest.approx(expected, rel=1e-3)


def test_every_range_is_fitted_as_the_study_fits_its_own(tables, finished):
    ranges, alpha = tables["fit_ranges"], tables["alpha"].set_index(["layer", "name"])
    store = zarr_store.open_store(finished.branch / "spectra/layer_02.zarr")
    pooled = ranges[(ranges.layer == 2) & (ranges.group == "pooled")]
    assert len(pooled) > 5
    for row in pooled.itertuples():
        assert row.alpha == pytest.approx(alpha_of(store["pooled"][:], (row.first, row.last)), rel=1e-9)
    own = pooled[(pooled["first"] == FIT["ranks"][0]) & (pooled["last"] == FIT["ranks"][1])].squeeze()
    for column in ("alpha", "alpha_corrected"):
        assert own[column] == pytest.approx(alpha[column][2, "pooled"], rel=1e-9)
    # Of influences in float32.
    assert own.se == pytest.approx(alpha.se[2, "pooled"], rel=1e-3)


def test_errors_of_similarity_are_of_all_images_but_those_of_cka(finished):
    table = pd.read_csv(finished.branch / "correlation.csv").set_index("layer")
    for layer in (0, 1, 2):
        store = zarr_store.open_store(finished.branch / f"uncertainty/layer_{layer:02d}.zarr")
        value, error = store["similarity"][:], store["similarity_error"][:]
        row = table.loc[layer]
        assert row.mean_se == pytest.approx(error[0, 0] * np.sqrt(M / N), rel=1e-12)
        assert row.centred_mean_spatial == pytest.approx(value[1, 1], rel=1e-12)
        assert row.cka_mean_se == pytest.approx(error[2, 0], rel=1e-12)
        assert row.cosine_mean_se == pytest.approx(error[3, 0] * np.sqrt(M / N), rel=1e-12)
