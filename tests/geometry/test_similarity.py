"""How alike tokens are equals what numpy, scikit-learn and loops over pairs find; so do the errors."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity
from tokengeometry.errors import StudyError
from tokengeometry.geometry import correlation
from tokengeometry.geometry.uncertainty import similarity
from tokengeometry.geometry.uncertainty.similarity import KINDS, MEASURES, of_layer

PREFIX = ["cls", "reg"]
SAMPLES, TOKENS, FEATURES = 43, 7, 12
# Products are made in float32; an error is a difference of values that are alike.
VALUE_RTOL, ERROR_RTOL = 2e-6, 1e-4


def make_layer(samples=SAMPLES, tokens=TOKENS, features=FEATURES, seed=0, mean=3):
    """Images that their tokens share, features of decaying size, and a mean; (sample, token, feature) float32."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(samples, 1, features)) * rng.uniform(0.2, 2, (samples, 1, 1))
    own = rng.normal(size=(samples, tokens, features)) * rng.uniform(0.5, 1.5, (1, tokens, 1))
    values = (shared + own) * np.arange(1, features + 1) ** -0.5
    return (values + mean * rng.normal(size=(tokens, features))).astype(np.float32)


def flattened(values):
    """(token, sample·feature), float64."""
    return values.astype(np.float64).transpose(1, 0, 2).reshape(values.shape[1], -1)


def corrcoef(values):
    return np.corrcoef(flattened(values))


def centred(values):
    flat = flattened(values - values.mean(axis=0, dtype=np.float64))
    return cosine_similarity(flat)


def hsic(k, q):
    """The unbiased estimator, as Song et al. (2012) write it."""
    n, ones = len(k), np.ones(len(k))
    k, q = k - np.diag(np.diag(k)), q - np.diag(np.diag(q))
    traces, sums = np.trace(k @ q), (ones @ k @ ones) * (ones @ q @ ones) / ((n - 1) * (n - 2))
    return (traces + sums - 2 / (n - 2) * ones @ k @ q @ ones) / (n * (n - 3))


def debiased_cka(values):
    kernels = [token @ token.T for token in values.astype(np.float64).transpose(1, 0, 2)]
    between = np.array([[hsic(k, q) for q in kernels] for k in kernels])
    return between / np.sqrt(np.outer(np.diag(between), np.diag(between)))


def biased_cka(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return np.square(x.T @ y).sum() / np.sqrt(np.square(x.T @ x).sum() * np.square(y.T @ y).sum())


def kinds(matrix, prefix=PREFIX):
    """Means over pairs, written out."""
    first, size = len(prefix), len(matrix)
    pairs = [(s, t) for s in range(size) for t in range(s)]
    spatial = [matrix[s, t] for s, t in pairs if min(s, t) >= first]
    cls = [matrix[prefix.index("cls"), t] for t in range(first, size)] if "cls" in prefix else [np.nan]
    return np.array([np.mean([matrix[pair] for pair in pairs]), np.mean(spatial), np.mean(cls)])


def jackknife(matrix_of, values, prefix=PREFIX, folds=10):
    """Value and standard error by computing all of it again without each fold."""
    number = np.arange(len(values)) % folds
    without = np.array([kinds(matrix_of(values[number != fold]), prefix) for fold in range(folds)])
    squares = np.square(without - without.mean(axis=0)).sum(axis=0)
    return kinds(matrix_of(values), prefix), np.sqrt((folds - 1) / folds * squares)


def image_cosines(values, prefix=PREFIX):
    return np.array([kinds(cosine_similarity(image.astype(np.float64)), prefix) for image in values])


def part(found, measure):
    row = MEASURES.index(measure)
    return found.value[row], found.error[row]


def same(found, expected, error_rtol=ERROR_RTOL, **options):
    np.testing.assert_allclose(found[0], expected[0], rtol=VALUE_RTOL, **options)
    np.testing.assert_allclose(found[1], expected[1], rtol=error_rtol, **options)


class FirstAxisOnly:
    """An array of which one may take slices along the first axis, and nothing else."""

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads = 0

    def __getitem__(self, key):
        assert isinstance(key, slice)
        assert key.step is None
        self.reads += 1
        return self._values[key]


JACKKNIFED = {"correlation": corrcoef, "centred": centred, "cka": debiased_cka}


@pytest.mark.parametrize("samples", [SAMPLES, 50, 12])
@pytest.mark.parametrize("measure", JACKKNIFED)
def test_values_and_errors_equal_computing_all_again_without_each_fold(measure, samples):
    values = make_layer(samples)
    found = of_layer(values, PREFIX, count=samples)
    same(part(found, measure), jackknife(JACKKNIFED[measure], values))
    rest = values[np.arange(samples) % 10 != 3]
    expected = kinds(JACKKNIFED[measure](rest), PREFIX)
    np.testing.assert_allclose(found.without[MEASURES.index(measure), :, 3], expected, rtol=1e-5, atol=1e-6)


def test_cosines_without_a_fold_are_those_of_the_other_images():
    values = make_layer()
    found = of_layer(values, PREFIX, count=SAMPLES).without[MEASURES.index("cosine")]
    for fold in range(10):
        rest = image_cosines(values[np.arange(SAMPLES) % 10 != fold]).mean(axis=0)
        np.testing.assert_allclose(found[:, fold], rest, rtol=VALUE_RTOL)


@pytest.mark.parametrize("measure", ["correlation", "centred"])
def test_every_replicate_equals_that_of_the_images_outside_the_fold(measure):
    values = make_layer()
    sums, _ = similarity._read(values, PREFIX, 0.0, 1)
    matrix_of = {"correlation": sums.pearson, "centred": sums.centred}[measure]
    for fold in range(10):
        expected = JACKKNIFED[measure](values[np.arange(SAMPLES) % 10 != fold])
        np.testing.assert_allclose(matrix_of(np.arange(10) != fold), expected, rtol=1e-5, atol=1e-7)


def test_every_replicate_of_cka_equals_the_loop_over_pairs_outside_the_fold():
    values = make_layer()
    kernels = similarity._Kernels(values, 0.0, 1, 2**20)
    for fold in range(10):
        expected = debiased_cka(values[np.arange(SAMPLES) % 10 != fold])
        np.testing.assert_allclose(kernels.cka(np.arange(10) != fold), expected, rtol=1e-5, atol=1e-6)


def test_the_function_of_centred_correlations_equals_numpy_on_centred_tokens():
    values = make_layer().astype(np.float64)
    flat = flattened(values - values.mean(axis=0))
    found = correlation.centred(flat @ flat.T, SAMPLES, FEATURES)
    np.testing.assert_allclose(found, np.corrcoef(flat), rtol=1e-10)


def test_cosines_equal_scikit_learn_image_by_image():
    values = make_layer(mean=1)
    cosines = image_cosines(values)
    expected = cosines.mean(axis=0), cosines.std(axis=0, ddof=1) / np.sqrt(SAMPLES)
    same(part(of_layer(values, PREFIX, count=SAMPLES), "cosine"), expected)


def test_the_error_of_cosines_is_that_of_images_drawn_again():
    values = make_layer(samples=200, mean=1)
    rng = np.random.default_rng(1)
    cosines = image_cosines(values)
    drawn = cosines[rng.integers(200, size=(4000, 200))].mean(axis=1)
    np.testing.assert_allclose(part(of_layer(values, PREFIX, count=200), "cosine")[1], drawn.std(axis=0), rtol=0.06)


def test_errors_are_the_spread_of_repeated_studies():
    """Of studies of 160 images, from the first 80; of CKA, of the 80."""
    studies = []
    for seed in range(250):
        rng = np.random.default_rng([seed, 7])
        # The same tokens with other images.
        values = make_layer(160, tokens=4, features=5, seed=3)
        images = rng.normal(size=(160, 1, 5)) * rng.uniform(0.2, 2, (160, 1, 1)) + rng.normal(size=(160, 4, 5))
        values = values.mean(axis=0) + images
        whole, first = of_layer(values, ["cls"], count=160), of_layer(values[:80], ["cls"], count=160)
        whole.value[MEASURES.index("cka")] = first.value[MEASURES.index("cka")]
        studies.append((whole.value, first.error))
    values, errors = map(np.array, zip(*studies, strict=True))
    # 250 studies tell a spread to 4.5 %.
    ratio = np.sqrt(np.square(errors).mean(axis=0)) / values.std(axis=0, ddof=1)
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_errors_are_of_as_many_images_as_the_study_has_but_for_cka():
    values = make_layer()
    few, many = of_layer(values, PREFIX, count=SAMPLES), of_layer(values, PREFIX, count=4 * SAMPLES)
    scale = np.where(np.array(MEASURES) == "cka", 1, 2)[:, None]
    np.testing.assert_allclose(few.error, many.error * scale, rtol=1e-12)
    np.testing.assert_array_equal(few.value, many.value)


def test_independent_tokens_have_no_debiased_cka_and_a_biased_one():
    values = np.random.default_rng(5).normal(size=(120, 6, 40)).astype(np.float32)
    value, error = part(of_layer(values, ["cls"], count=120), "cka")
    assert (np.abs(value) < 4 * error).all()
    assert (error < 0.02).all()
    assert biased_cka(values[:, 0], values[:, 1]) > 0.2


def test_equal_tokens_are_alike_by_every_measure():
    token = make_layer(tokens=1, mean=0)
    found = of_layer(np.repeat(token, 5, axis=1), ["cls"], count=SAMPLES)
    np.testing.assert_allclose(found.value, 1, rtol=1e-6)
    np.testing.assert_allclose(found.error, 0, atol=1e-6)


def test_cka_does_not_see_a_rotation_or_a_scale():
    rng = np.random.default_rng(6)
    token = make_layer(tokens=1, mean=0)[:, 0]
    turned = 1e4 * token @ np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))[0]
    value, _ = part(of_layer(np.stack([token, turned], axis=1), [], count=SAMPLES), "cka")
    np.testing.assert_allclose(value[0], 1, rtol=1e-5)


def test_a_mean_that_is_large_costs_no_digits_of_what_is_centred():
    far = (make_layer(mean=0) + 1000).astype(np.float32)
    near = far - far.mean(axis=0, dtype=np.float64)
    found = of_layer(far, PREFIX, count=SAMPLES)
    for measure in ("centred", "cka"):
        same(part(found, measure), jackknife(JACKKNIFED[measure], near))


def test_without_prefix_tokens_all_pairs_are_spatial():
    values = make_layer(mean=1)
    found = of_layer(values, [], count=SAMPLES)
    np.testing.assert_array_equal(found.value[:, 0], found.value[:, 1])
    np.testing.assert_array_equal(found.error[:, 0], found.error[:, 1])
    assert np.isnan(found.value[:, 2]).all()
    assert np.isnan(found.error[:, 2]).all()
    for measure, matrix_of in JACKKNIFED.items():
        same([of[:2] for of in part(found, measure)], [of[:2] for of in jackknife(matrix_of, values, prefix=[])])
    np.testing.assert_allclose(part(found, "cosine")[0][0], image_cosines(values, []).mean(axis=0)[0], rtol=VALUE_RTOL)


@pytest.mark.parametrize("token", [0, 4])
def test_a_token_that_does_not_vary_is_left_out(token):
    values = make_layer()
    values[:, token] = values[0, token]
    others = [other for other in range(TOKENS) if other != token]
    prefix = [name for other, name in enumerate(PREFIX) if other != token]
    found, expected = of_layer(values, PREFIX, count=SAMPLES), of_layer(values[:, others], prefix, count=SAMPLES)
    for measure in JACKKNIFED:
        same(part(found, measure), part(expected, measure))
    np.testing.assert_allclose(part(found, "cosine")[0], image_cosines(values).mean(axis=0), rtol=VALUE_RTOL)


def test_a_token_that_varies_less_than_rounding_is_left_out():
    values = make_layer()
    floor = np.zeros(TOKENS)
    floor[3] = 1e3
    found = of_layer(values, PREFIX, count=SAMPLES, floor=floor)
    expected = of_layer(np.delete(values, 3, axis=1), PREFIX, count=SAMPLES)
    for measure in JACKKNIFED:
        same(part(found, measure), part(expected, measure))


@pytest.mark.parametrize("image", [5, 38])
def test_a_token_that_varies_in_one_image_only_is_left_out_of_the_replicate_without_it(image):
    values = make_layer()
    values[:, 4] = values[0, 4]
    values[image, 4] += 1
    kept = np.arange(10) != image % 10
    sums, _ = similarity._read(values, PREFIX, 0.0, 1)
    for matrix_of in (sums.pearson, sums.centred):
        assert not np.isnan(matrix_of(np.ones(10, bool))).any()
        expected = np.zeros((TOKENS, TOKENS), bool)
        expected[4] = expected[:, 4] = True
        np.testing.assert_array_equal(np.isnan(matrix_of(kept)), expected)
    # The unbiased HSIC of such a token is 0 with all images too.
    kernels = similarity._Kernels(values, 0.0, 1, 2**20)
    for folds in (kept, np.ones(10, bool)):
        assert np.flatnonzero(np.isnan(np.diag(kernels.cka(folds)))).tolist() == [4]


def test_a_vector_of_zeros_is_left_out_of_its_image():
    values = make_layer(mean=1)
    values[3, 4] = 0
    values[7, 0] = 0
    values[9] = 0
    cosines = image_cosines(values)
    cosines[3] = kinds(cosine_similarity(np.delete(values[3], 4, axis=0)))
    # Without the class token: no pair of it in that image.
    cosines[7] = kinds(cosine_similarity(values[7, 1:]), ["reg"])
    cosines[9] = np.nan
    there = np.sum(~np.isnan(cosines), axis=0)
    assert there.tolist() == [SAMPLES - 1, SAMPLES - 1, SAMPLES - 2]
    expected = np.nanmean(cosines, axis=0), np.nanstd(cosines, axis=0, ddof=1) / np.sqrt(there)
    same(part(of_layer(values, PREFIX, count=SAMPLES), "cosine"), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_of_any_size_on_any_threads_make_the_same(monkeypatch, threads):
    values = FirstAxisOnly(make_layer())
    expected = of_layer(values, PREFIX, count=SAMPLES)
    reads = values.reads
    monkeypatch.setattr(similarity, "batch_rows", lambda *_: 7)
    monkeypatch.setattr(similarity, "GRAM_LENGTH", 2 * FEATURES)
    found = of_layer(values, PREFIX, count=SAMPLES, threads=threads, block_bytes=4 * SAMPLES * FEATURES * 2)
    assert values.reads > 2 * reads
    np.testing.assert_allclose(found.value, expected.value, rtol=VALUE_RTOL)
    np.testing.assert_allclose(found.error, expected.error, rtol=ERROR_RTOL)


def test_cka_is_of_the_first_images_at_most(monkeypatch):
    monkeypatch.setattr(similarity, "CKA_IMAGES", 30)
    values = make_layer()
    found = of_layer(values, PREFIX, count=1000)
    same(part(found, "cka"), jackknife(debiased_cka, values[:30]))


def test_float16_is_computed_as_float32():
    values = make_layer().astype(np.float16)
    found, expected = (of_layer(these, PREFIX, count=SAMPLES) for these in (values, values.astype(np.float32)))
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-12)
    np.testing.assert_allclose(found.error, expected.error, rtol=1e-12)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 6])
def test_few_images_have_the_values_and_errors_that_are_defined(samples):
    values = make_layer(samples, mean=1)
    found = of_layer(values, PREFIX, count=samples)
    defined = {"correlation": (2, 3), "centred": (2, 3), "cka": (4, 5), "cosine": (1, 2)}
    for measure, (for_value, for_error) in defined.items():
        value, error = part(found, measure)
        assert np.isnan(value).tolist() == [samples < for_value] * len(KINDS), measure
        assert np.isnan(error).tolist() == [samples < for_error] * len(KINDS), measure
    if samples >= 3:
        same(part(found, "correlation"), jackknife(corrcoef, values, folds=samples))


def test_squares_beyond_float32_are_an_error():
    values = make_layer()
    values[11, 2] = 1e25
    with pytest.raises(StudyError, match="beyond float32"), np.errstate(over="ignore", invalid="ignore"):
        of_layer(values, PREFIX, count=SAMPLES)
