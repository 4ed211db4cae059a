"""Moments, spectra and correlations equal what numpy and sklearn find on the whole array."""

import numpy as np
import pytest
import torch
from fits import fit_layer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from tokengeometry.errors import StudyError
from tokengeometry.geometry import concatenated, correlation, moments, spectra
from tokengeometry.geometry.noise import Noise
from tokengeometry.geometry.noise_floor import product_floor
from tokengeometry.storage import zarr_store
from tokengeometry.study import cut

SAMPLES, TOKENS, FEATURES = 90, 7, 12
# Its products are made in float32.
GRAM_RTOL = 2e-6


def make_activations(samples=SAMPLES, tokens=TOKENS, features=FEATURES, seed=0):
    """Correlated tokens with a large mean and decaying spectra, (sample, token, feature) float32."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(samples, 1, features))
    values = (shared + rng.normal(size=(samples, tokens, features))) * np.arange(1, features + 1) ** -0.8
    return (values + 30 * rng.normal(size=(tokens, features))).astype(np.float32)


def moments_of(activations, batch=17):
    return moments.accumulate(
        torch.from_numpy(activations[start : start + batch]) for start in range(0, len(activations), batch)
    )


def write_part(path, activations, **attributes):
    with zarr_store.create(path, compute_dtype="float32", **attributes) as store:
        array = store.create(
            "activations",
            activations.shape,
            activations.dtype,
            ("sample", "token", "feature"),
            chunks=(8, *activations.shape[1:]),
        )
        array[...] = activations
    return zarr_store.open_store(path)


@pytest.fixture
def layer(tmp_path):
    """Activations in three parts, the moment stores of those, and the spectra store."""
    activations = make_activations()
    parts, sums = [], []
    for number, (start, stop) in enumerate(cut(SAMPLES, 40)):
        part = write_part(tmp_path / f"activations_{number}.zarr", activations[start:stop])
        accumulated = moments.accumulate(moments.batches(part, batch_bytes=1))
        moments.write(tmp_path / f"moments_{number}.zarr", accumulated, dtypes=["float32", "float32"])
        parts.append(part)
        sums.append(zarr_store.open_store(tmp_path / f"moments_{number}.zarr"))
    concatenated.write(tmp_path / "concatenated.zarr", parts, SAMPLES)
    spectra.write_spectra(
        tmp_path / "spectra.zarr", sums, zarr_store.open_store(tmp_path / "concatenated.zarr"), device="cpu"
    )
    return activations, parts, sums, zarr_store.open_store(tmp_path / "spectra.zarr")


def pca_eigenvalues(samples):
    """sklearn's, by full SVD in float64, divided by N instead of N − 1."""
    pca = PCA(svd_solver="full").fit(samples.astype(np.float64))
    return pca.explained_variance_ * (len(samples) - 1) / len(samples)


def test_token_spectra_equal_sklearn_pca(layer):
    activations, _, _, store = layer
    for token in range(TOKENS):
        np.testing.assert_allclose(
            store["eigenvalues"][token], pca_eigenvalues(activations[:, token]), rtol=1e-9, atol=1e-13
        )


def test_averaged_spectrum_equals_spectrum_of_the_mean_over_tokens(layer):
    activations, _, sums, store = layer
    means = activations.astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(store["averaged"][:], pca_eigenvalues(means), rtol=1e-9, atol=1e-13)
    merged = moments.read_averaged(sums)
    np.testing.assert_allclose(merged.mean[0], means.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.gram[0, 0], np.square(means - means.mean(axis=0)).sum(), rtol=1e-9)


def test_noise_of_the_averaged_token_is_that_of_the_mean_of_the_tokens_errors():
    random = np.random.default_rng(5)
    exact = random.normal(size=(2000, 16, 24)) + 30
    error = exact.astype(np.float16) - exact
    vectors = np.linalg.qr(random.normal(size=(24, 24)))[0]
    made = ((error.mean(axis=1) - error.mean(axis=(0, 1))) @ vectors).var(axis=0, ddof=1)
    mean_square = np.square(exact).mean(axis=(0, 1))
    counted = Noise(["float16"]).along_averaged(vectors, mean_square, 16)
    # Rounding is to a step of ε x at the most, ε x / 2 at the least.
    np.testing.assert_array_less(made, counted)
    np.testing.assert_array_less(counted, 8 * made)
    measured = Noise(["float16"], differences=error).along_averaged(vectors, mean_square, 16)
    np.testing.assert_allclose(measured, made, rtol=1e-6)


def test_pooled_spectrum_equals_spectrum_of_stacked_tokens(layer):
    activations, _, _, store = layer
    np.testing.assert_allclose(store["pooled"][:], pca_eigenvalues(activations.reshape(-1, FEATURES)), rtol=1e-9)


def test_concatenated_spectrum_equals_spectrum_of_concatenated_tokens(layer):
    activations, _, _, store = layer
    expected = pca_eigenvalues(activations.reshape(SAMPLES, -1))
    count = min(SAMPLES - 1, TOKENS * FEATURES)
    floor = store["concatenated_floor"][:count]
    assert floor.max() < 2e-7 * expected.sum()
    np.testing.assert_allclose(store["concatenated"][:count], expected[:count], rtol=1e-6, atol=floor.max())
    values, *_ = concatenated.spectrum(activations, products="float64")
    np.testing.assert_allclose(values[:count], expected[:count], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("samples", [40, 400])
@pytest.mark.parametrize("decay", [0.5, 1.5])
def test_products_in_float32_change_an_eigenvalue_in_the_seventh_digit_or_by_less_than_the_floor(samples, decay):
    rng = np.random.default_rng(0)
    scales = np.arange(1, 20001) ** -decay
    # With a large mean; and half of the samples lie between two others, so that as many eigenvalues are 0.
    activations = rng.normal(size=(samples, 1, 20000)) * scales + 10
    half = samples // 2
    activations[half:] = (activations[:half] + activations[np.arange(half) - 1]) / 2
    activations = activations.astype(np.float32)
    exact, *_ = concatenated.spectrum(activations, products="float64")
    found, floors, _ = concatenated.spectrum(activations)
    floor = floors[-1]
    assert floor <= product_floor(exact.sum(), samples) < 1e-6 * exact.sum() / np.sqrt(samples)
    assert (np.abs(found - exact) < 1e-6 * exact + floor).all()
    # The rounding of the activations themselves.
    assert np.abs(exact[half:]).max() < floor / 30
    # What is 0 has become rounding.
    assert floor / 2000 < np.abs(found[half:]).max() < floor


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("piece_length", [4096, 5, 1])
@pytest.mark.parametrize(("samples", "block_bytes"), [(5, 1), (9, 1), (50, 2000), (90, 10**9)])
def test_concatenated_spectrum_does_not_depend_on_its_blocks(
    layer, monkeypatch, samples, block_bytes, piece_length, threads
):
    monkeypatch.setattr(concatenated, "PIECE_LENGTH", piece_length)
    activations, parts, _, _ = layer
    subset = concatenated.Samples(parts, samples)
    values, *_ = concatenated.spectrum(subset, products="float64", block_bytes=block_bytes, threads=threads)
    whole = activations[:samples].reshape(samples, -1).astype(np.float64)
    expected = np.linalg.eigvalsh(np.cov(whole.T, bias=True))[::-1][: len(values)]
    np.testing.assert_allclose(values, expected, rtol=1e-8, atol=1e-11)


def test_the_sample_gram_has_the_same_digits_with_any_number_of_threads(layer, monkeypatch):
    matrices = []

    def keep(self, matrix):
        matrices.append(matrix.copy())
        return np.linalg.eigvalsh(matrix)

    monkeypatch.setattr(concatenated, "PIECE_LENGTH", 7)
    monkeypatch.setattr(concatenated.OnCPU, "eigenvalues", keep)
    activations, *_ = layer
    for threads in (1, 2, 5):
        concatenated.spectrum(activations, threads=threads, block_bytes=activations.nbytes // 2)
    assert all(np.array_equal(matrix, matrices[0]) for matrix in matrices[1:])


def test_alpha_equals_least_squares_on_sklearn_spectra(layer):
    activations, _, _, store = layer
    laws = fit_layer(store, ranks=(2, 10), min_ranks=3, weights="inverse_rank")
    rank = np.arange(2, 11)
    for token in range(TOKENS):
        values = pca_eigenvalues(activations[:, token])[1:10]
        slope = np.polyfit(np.log(rank), np.log(values), 1, w=rank**-0.5)[0]
        assert laws["token"].alpha[token] == pytest.approx(-slope, rel=1e-8)


def test_correlation_equals_corrcoef_of_flattened_activations(layer, tmp_path):
    activations, _, sums, _ = layer
    correlation.write(tmp_path / "correlation.zarr", sums)
    flat = activations.astype(np.float64).transpose(1, 0, 2).reshape(TOKENS, -1)
    found = zarr_store.open_store(tmp_path / "correlation.zarr")["correlation"][:]
    np.testing.assert_allclose(found, np.corrcoef(flat), atol=1e-7)


def test_a_constant_token_has_no_spectrum_and_no_correlation(tmp_path):
    activations = make_activations()
    activations[:, 2] = np.float32(-1.8)
    sums = moments_of(activations)
    assert not sums.scatter[2].any()
    moments.write(tmp_path / "moments.zarr", sums, dtypes=["float32", "float32"])
    part = zarr_store.open_store(tmp_path / "moments.zarr")
    correlation.write(tmp_path / "correlation.zarr", [part])
    found = zarr_store.open_store(tmp_path / "correlation.zarr")["correlation"][:]
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()
    assert np.isnan(found).sum() == 2 * TOKENS - 1
    means = correlation.pair_means(found, ["cls"])
    rest = np.delete(np.delete(found, 2, 0), 2, 1)
    assert means["undefined_tokens"] == 1
    assert means["mean"] == pytest.approx(rest[np.tril_indices(TOKENS - 1, -1)].mean())
    assert means["mean_spatial"] == pytest.approx(rest[1:, 1:][np.tril_indices(TOKENS - 2, -1)].mean())
    assert means["mean_cls_spatial"] == pytest.approx(rest[0, 1:].mean())


def test_pair_means_without_a_class_token_are_over_spatial_tokens():
    matrix = np.corrcoef(np.random.default_rng(0).normal(size=(4, 9)))
    means = correlation.pair_means(matrix, [])
    assert np.isnan(means["mean_cls_spatial"])
    assert means["mean"] == means["mean_spatial"]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(2, 60),
    samples_per_part=st.integers(2, 30),
    batch=st.integers(1, 20),
)
def test_merged_parts_equal_one_part(seed, samples, samples_per_part, batch):
    activations = make_activations(samples, 4, 6, seed)
    whole = activations.astype(np.float64)
    merged = None
    for start, stop in cut(samples, samples_per_part):
        part = moments_of(activations[start:stop], batch)
        merged = part if merged is None else merged.merge(part)
    centred = whole - whole.mean(axis=0)
    assert merged.count == samples
    np.testing.assert_allclose(merged.mean, whole.mean(axis=0), rtol=0, atol=1e-12 * np.abs(whole).max())
    np.testing.assert_allclose(merged.scatter, np.einsum("nti,ntj->tij", centred, centred), rtol=1e-9, atol=1e-10)
    gram = np.einsum("nsi,nti->st", centred, centred)
    size = np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    np.testing.assert_array_less(np.abs(merged.gram - gram), GRAM_RTOL * size)


def test_a_large_mean_does_not_cancel():
    rng = np.random.default_rng(0)
    small = rng.normal(size=(200, 2, 3))
    found = moments_of(small + 1e8)
    expected = small - small.mean(axis=0)
    np.testing.assert_allclose(found.scatter, np.einsum("nti,ntj->tij", expected, expected), rtol=1e-6, atol=1e-5)


def test_squares_beyond_float32_are_an_error_not_an_infinite_correlation():
    activations = make_activations() * np.float32(1e19)
    with pytest.raises(StudyError, match="squares of activations are beyond float32"):
        moments_of(activations)
    with pytest.raises(StudyError, match="squares of activations are beyond float32"):
        concatenated.spectrum(activations)


def test_parts_cover_every_sample_once_and_growth_leaves_full_parts_alone():
    assert cut(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert cut(8, 4) == [(0, 4), (4, 8)]
    assert cut(13, 4)[:2] == cut(9, 4)[:2]


def test_memory_is_bounded_by_the_batch_not_the_samples(tmp_path):
    part = write_part(tmp_path / "part.zarr", make_activations(64))
    sizes = {len(batch) for batch in moments.batches(part, batch_bytes=4 * TOKENS * FEATURES * 20)}
    assert sizes == {16}
