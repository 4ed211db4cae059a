"""What noise makes of a spectrum is not taken for data, and what it leaves is: of 8-bit images, stores, a chain."""

import numpy as np
import pytest
import torch
from fits import fit_layer
from tokengeometry.activations import measured_noise
from tokengeometry.data import eight_bit
from tokengeometry.geometry import concatenated, moments, spectra
from tokengeometry.geometry.noise import EightBit, Noise
from tokengeometry.model.token_chain import TokenChain, create_model, patchify
from tokengeometry.storage import zarr_store

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEP = tuple(1 / 255 / deviation for deviation in STD)


def write_layer(folder, activations, *, compute="float32", dtype=None, differences=None, **attributes):
    """The spectra of one layer, by the functions that the rules call; `dtype` is named where numpy hasn't it."""
    dtypes = [compute, dtype or str(activations.dtype)]
    with zarr_store.create(folder / "activations.zarr", compute_dtype=dtypes[0], **attributes) as store:
        store.write("activations", activations, ("sample", "token", "feature"))
    part = zarr_store.open_store(folder / "activations.zarr")
    moments.write(folder / "moments.zarr", moments.accumulate(moments.batches(part)), dtypes=dtypes, **attributes)
    noise = []
    if differences is not None:
        measured_noise.write(folder / "noise.zarr", differences)
        noise.append(zarr_store.open_store(folder / "noise.zarr"))
    concatenated.write(folder / "concatenated.zarr", [part], len(activations), *noise)
    sums = [zarr_store.open_store(folder / "moments.zarr")]
    spectra.write_spectra(folder / "spectra.zarr", sums, zarr_store.open_store(folder / "concatenated.zarr"), *noise)
    return zarr_store.open_store(folder / "spectra.zarr")


def covariances(activations):
    """Eigenvalues in float64 by numpy: of every token, pooled, concatenated."""
    whole = np.asarray(activations, np.float64)
    flat = whole.reshape(len(whole), -1)
    tokens = [np.linalg.eigvalsh(np.cov(token.T, bias=True))[::-1] for token in whole.transpose(1, 0, 2)]
    pooled = np.linalg.eigvalsh(np.cov(whole.reshape(-1, whole.shape[2]).T, bias=True))[::-1]
    joint = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2 / len(flat)
    return np.stack(tokens), pooled, joint


def kinds_of(store):
    """(eigenvalues, floor) of tokens, pooled and concatenated."""
    names = ("eigenvalues", "floor"), ("pooled", "pooled_floor"), ("concatenated", "concatenated_floor")
    return [(store[values][:], store[floor][:]) for values, floor in names]


def planted(rng, samples, tokens, features, alpha):
    """Gaussian samples whose covariances have the eigenvalues j^(−α), in directions of each token's own."""
    scales = np.arange(1, features + 1) ** (-alpha / 2)
    bases = np.linalg.qr(rng.normal(size=(tokens, features, features)))[0]
    return np.einsum("ntr,tfr->ntf", rng.normal(size=(samples, tokens, features)) * scales, bases)


@pytest.mark.parametrize(("grey", "colour"), [(1, 0), (0, 1), (0.25, 0.5)])
def test_rounding_of_images_along_a_direction_is_that_of_its_whole_covariance(rng, grey, colour):
    pixels = 5
    scaled = np.asarray(STEP)[:, None]
    shared = np.kron(scaled @ scaled.T, np.eye(pixels)) / 12
    covariance = grey * shared + colour * np.diag(np.repeat(np.square(STEP), pixels)) / 12
    directions = np.linalg.qr(rng.normal(size=(2, 15, 15)))[0]
    images = EightBit(STEP, grey, colour)
    expected = np.einsum("tfr,fg,tgr->tr", directions, covariance, directions)
    np.testing.assert_allclose(images.along(directions), expected)
    np.testing.assert_allclose(images.variances(15), np.diag(covariance))
    least, most = images.bounds()
    along = np.linalg.eigvalsh(covariance)
    # Of grey images alone, no two differ in colour.
    assert least <= (along[0] if colour else along[-1]) * (1 + 1e-12)
    assert along[-1] <= most * (1 + 1e-12)


def normalised(levels):
    """8-bit levels (sample, channel, row, column) as the model sees them."""
    images = torch.from_numpy(levels / 255).float()
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (images - mean) / std


def test_images_are_told_apart_by_their_pixels(rng):
    levels = rng.integers(0, 256, size=(4, 3, 16, 16)).astype(float)
    levels[1] = levels[1, :1]
    levels[2] += 0.3
    levels[3] = 0
    found = eight_bit.kinds(normalised(levels), MEAN, STD)
    assert found.tolist() == [eight_bit.COLOUR, eight_bit.GREY, eight_bit.NONE, eight_bit.GREY]
    summary = eight_bit.summary(found, STD)
    assert (summary["samples"], summary["grey"], summary["colour"]) == (4, 2, 1)
    assert EightBit.of([summary, summary]) == EightBit(STEP, 0.5, 0.25)
    assert EightBit.of([eight_bit.summary(found[2:3], STD)]) is None


@pytest.mark.parametrize("grey", [True, False])
def test_alpha_of_8_bit_images_is_near_that_of_the_same_images_unrounded(rng, tmp_path, grey):
    samples, tokens, side, alpha = 2500, 2, 8, 3.0
    channels = 1 if grey else 3
    exact = planted(rng, samples, tokens, channels * side**2, alpha)
    exact = 128 + 40 * exact.reshape(samples, tokens, channels, side, side)
    exact = exact.repeat(3 // channels, axis=2)
    seen = {}
    for name, levels in (("exact", exact), ("rounded", np.rint(exact))):
        images = normalised(levels.reshape(samples * tokens, 3, side, side))
        found = eight_bit.kinds(images, MEAN, STD)
        patches = patchify(images, (side, side)).reshape(samples, tokens, -1)
        (tmp_path / name).mkdir()
        seen[name] = write_layer(tmp_path / name, patches.numpy(), eight_bit=eight_bit.summary(found, STD))
    fit = {"ranks": (5, 60), "min_ranks": 10, "weights": "inverse_rank"}
    law, truth = (fit_layer(seen[name], **fit) for name in ("rounded", "exact"))
    blind = fit_layer(write_layer(tmp_path, patches.numpy()), **fit)
    for kind in ("token", "pooled"):
        assert (law[kind].ranks >= 10).all()
        assert (law[kind].ranks < truth[kind].ranks).all()
        off, blindly = (np.abs(found[kind].alpha - truth[kind].alpha).max() for found in (law, blind))
        assert off < 0.35
        assert off < 0.65 * blindly
    for (values, floor), (expected, least) in zip(kinds_of(seen["rounded"]), kinds_of(seen["exact"]), strict=True):
        resolved = values > floor
        assert (values[resolved] < 2.2 * expected[resolved]).all()
        # And no rank is cut that noise has moved by less than half.
        cut = ~resolved & (expected > least)
        assert (values[cut] > 1.3 * expected[cut]).all()


def with_a_massive_channel(rng, times, *, samples=600, tokens=3, features=48, alpha=1.5):
    """Steep spectra, and channel 5 with so many times the others' spread."""
    values = planted(rng, samples, tokens, features, alpha)
    values[:, :, 5] = times * (values[:, :, 5] + rng.normal(size=(samples, tokens))) * values.std() + 0.1
    return values


def as_stored(values, dtype):
    if dtype == "float16":
        return values.astype(np.float16)
    return torch.from_numpy(values).bfloat16().float().numpy()


@pytest.mark.parametrize(("dtype", "times"), [("float16", 1e4), ("bfloat16", 3e3)])
def test_a_massive_channel_does_not_cost_the_ranks_of_the_others(rng, tmp_path, dtype, times):
    exact = with_a_massive_channel(rng, times)
    store = write_layer(tmp_path, as_stored(exact, dtype), dtype=dtype)
    for (values, floor), expected in zip(kinds_of(store), covariances(exact), strict=True):
        ranks = min(values.shape[-1], 100)
        values, floor, expected = values[..., :ranks], floor[..., :ranks], expected[..., :ranks]
        moved = np.abs(values / expected - 1)
        assert (moved < 0.05).mean() > 0.5
        # Spread evenly over the features, the noise of the massive one is above all but its own ranks.
        assert (values > floor)[moved < 0.05].all()
        assert (moved[values > floor] < 1.1).all()


def test_a_massive_channel_does_not_raise_the_error_of_products_in_float32(rng):
    exact = with_a_massive_channel(rng, 1e4).astype(np.float32)
    found, floor, _ = concatenated.spectrum(exact)
    expected = covariances(exact)[2][: 3 * 48]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found > floor).all()


@pytest.mark.parametrize("block_bytes", [10**9, 20_000])
def test_noise_of_the_concatenated_spectrum_is_that_along_its_eigenvectors(rng, monkeypatch, block_bytes):
    # Eigenvectors that are projected in several pieces.
    monkeypatch.setattr(concatenated, "PROJECTED_BYTES", 8 * 144 * 50)
    monkeypatch.setattr(concatenated, "PIECE_LENGTH", 100)
    exact = with_a_massive_channel(rng, 1e4, samples=100, alpha=4)
    stored = as_stored(exact, "bfloat16")
    centred = stored.reshape(100, -1).astype(np.float64)
    variances = 2.0**-14 / 12 * np.square(centred).mean(axis=0)
    centred -= centred.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    values, noise = singular**2 / 100, np.square(directions) @ variances
    below = (variances.sum() - np.cumsum(noise)) / 100
    # Where an eigenvalue is so large, it is twice what it was without noise.
    floor = noise + below + np.sqrt((noise + below) ** 2 + 4 * noise * below)
    noise = Noise(["bfloat16"])
    found, its, _ = concatenated.spectrum(stored, noise, block_bytes=block_bytes, products="float64")
    np.testing.assert_allclose(found[:90], values[:90], rtol=1e-3)
    assert 3 < (found <= its).sum() < 90
    # The last ones are below the error of products, whatever their noise.
    np.testing.assert_allclose(its[:85], floor[:85], rtol=1e-2)


def smooth_images(rng, samples, side=32):
    """Photographs of little contrast: random fields whose amplitude falls with the third power of the frequency."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]) * side
    spectrum = np.fft.fft2(rng.normal(size=(samples, 3, side, side))) / np.maximum(frequency, 1) ** 3
    fields = np.fft.ifft2(spectrum).real
    return torch.from_numpy(2 + 0.1 * fields / fields.std()).float()


@pytest.mark.usefixtures("one_thread")
def test_what_a_chain_in_bfloat16_moves_is_cut_by_the_noise_that_was_measured(rng, tmp_path):
    samples, place = 800, {"batch_size": 50, "device": torch.device("cpu")}
    torch.manual_seed(0)
    exact_chain = TokenChain(create_model("vit_tiny_patch16_224", 32))
    coarse_chain = TokenChain(create_model("vit_tiny_patch16_224", 32).bfloat16())
    coarse_chain.model.load_state_dict(exact_chain.model.state_dict())
    exact = coarse = patchify(smooth_images(rng, samples), (16, 16)).numpy()
    for layer in (1, 2):
        exact = measured_noise.advance(exact, exact_chain, layer, **place)
        with torch.inference_mode():
            coarse = coarse_chain.link(layer, torch.from_numpy(coarse).bfloat16()).float().numpy()
    folders = [tmp_path / name for name in ("measured", "assumed")]
    for folder in folders:
        folder.mkdir()
    store = write_layer(folders[0], coarse, compute="bfloat16", differences=(coarse - exact)[:128])
    assumed = write_layer(folders[1], coarse, compute="bfloat16")
    ranks, missed = 100, 0
    truths = covariances(exact)
    for (values, floor), (_, one_rounding), truth in zip(kinds_of(store), kinds_of(assumed), truths, strict=True):
        moved = values[..., :ranks] / truth[..., :ranks]
        resolved = (values > floor)[..., :ranks]
        assert resolved.mean() > 0.1
        assert (moved[resolved] < 2.2).all()
        # What noise has moved by little stays.
        assert resolved[moved < 1.15].all()
        missed += ((moved > 3) & (values > one_rounding)[..., :ranks]).sum()
    assert missed > 20
