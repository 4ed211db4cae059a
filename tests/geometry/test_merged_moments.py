"""Moment stores: one triangle of each scatter matrix; and several of them as one, against numpy on all samples."""

from itertools import pairwise

import numpy as np
import pytest
import tokengeometry
import xarray
from tokengeometry.errors import StudyError
from tokengeometry.geometry import moments, triangles
from tokengeometry.model.tokens import labels
from tokengeometry.storage import zarr_store

# More features than are mirrored at a time, and not a multiple of them.
SAMPLES, TOKENS, FEATURES = 60, 5, 150
CUTS = (0, 20, 40, 60)
MODEL = {"grid": [2, 2], "prefix_tokens": ["cls"]}


@pytest.fixture
def activations(rng):
    values = rng.normal(size=(SAMPLES, TOKENS, FEATURES)) @ rng.normal(size=(FEATURES, FEATURES)) + 50
    return values.astype(np.float32)


@pytest.fixture
def parts(tmp_path, activations, monkeypatch):
    """The moment stores of three parts, in chunks of two tokens."""
    monkeypatch.setattr(moments, "chunk_length", lambda shape, dtype: min(2, shape[0]))
    stores = []
    for start, stop in pairwise(CUTS):
        its = labels(MODEL, 1) | {"sample": (("sample",), 7 * np.arange(start, stop))}
        eight_bit = {"samples": stop - start, "grey": start // 20, "colour": 10, "step": [0.1]}
        path = tmp_path / f"part_{start}.zarr"
        found = moments.accumulate([activations[start:stop]])
        moments.write(path, found, its, dtypes=["float32"] * 2, eight_bit=eight_bit)
        stores.append(zarr_store.open_store(path))
    return stores


def scatter_of(samples):
    centred = samples.astype(np.float64) - samples.mean(axis=0, dtype=np.float64)
    return np.einsum("ntd,nte->tde", centred, centred)


@pytest.mark.parametrize("features", [1, 2, 63, 64, 65, 150])
def test_a_scatter_is_unpacked_as_it_was(rng, features):
    matrices = rng.normal(size=(3, features, features))
    matrices = matrices + matrices.transpose(0, 2, 1)
    packed = triangles.pack_scatter(matrices)
    # The documented order.
    np.testing.assert_array_equal(packed, matrices[:, *np.triu_indices(features)])
    np.testing.assert_array_equal(tokengeometry.unpack_scatter(packed), matrices)
    np.testing.assert_array_equal(tokengeometry.unpack_scatter(packed[1]), matrices[1])
    np.testing.assert_array_equal(tokengeometry.unpack_scatter(packed[:, None]), matrices[:, None])


def test_what_is_no_triangle_is_not_unpacked():
    with pytest.raises(ValueError, match="5 values are no triangle"):
        tokengeometry.unpack_scatter(np.ones(5))


def test_a_store_has_one_triangle_and_says_which(parts, activations, tmp_path):
    expected = scatter_of(activations[:20])
    data = xarray.open_zarr(tmp_path / "part_0.zarr")
    assert data.scatter.dims == ("token", "feature_pair")
    assert data.attrs["scatter_order"] == "upper triangle of (feature, other_feature), row by row"
    np.testing.assert_allclose(data.scatter, expected[:, *np.triu_indices(FEATURES)], rtol=1e-9, atol=1e-9)
    found = tokengeometry.unpack_scatter(data.scatter.sel(token=3))
    np.testing.assert_allclose(found, expected[3], rtol=1e-9, atol=1e-9)


def test_merged_stores_are_those_of_all_samples(parts, activations, tmp_path):
    moments.write_merged(tmp_path / "pair.zarr", parts[:2], layer="01")
    moments.write_merged(tmp_path / "all.zarr", [zarr_store.open_store(tmp_path / "pair.zarr"), parts[2]], layer="01")
    found = zarr_store.open_store(tmp_path / "all.zarr")
    wide = activations.astype(np.float64)
    scatter = scatter_of(activations)
    np.testing.assert_allclose(found["mean"][:], wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(triangles.unpack_scatter(found["scatter"][:]), scatter, rtol=1e-9, atol=1e-8)
    centred = (wide - wide.mean(axis=0)).transpose(1, 0, 2).reshape(TOKENS, -1)
    np.testing.assert_allclose(found["gram"][:], centred @ centred.T, rtol=1e-6, atol=1e-6 * scatter.max())
    means = wide.mean(axis=1) - wide.mean(axis=(0, 1))
    np.testing.assert_allclose(found["averaged"][:], means.T @ means, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(found["norms"][:], np.linalg.norm(wide, axis=2), rtol=1e-6)
    np.testing.assert_array_equal(found["sample"][:], 7 * np.arange(SAMPLES))
    assert found.labels.keys() == parts[0].labels.keys()
    assert found.attributes["samples"] == SAMPLES
    assert found.attributes["dtypes"] == ["float32", "float32"]
    assert found.attributes["eight_bit"] == {"samples": 60, "grey": 3, "colour": 30, "step": [0.1]}


def test_a_block_of_tokens_over_several_stores_is_that_of_all_samples(parts, activations):
    block = slice(2, 4)
    found = moments.read_merged(parts, block)
    assert found.count == SAMPLES
    np.testing.assert_allclose(found.scatter, scatter_of(activations)[block], rtol=1e-9, atol=1e-8)
    assert moments.read_merged(parts, scatter=False).scatter is None


def test_merged_on_the_way_or_at_the_end_the_bytes_are_the_same(parts, tmp_path):
    moments.write_merged(tmp_path / "pair.zarr", parts[:2])
    pair = zarr_store.open_store(tmp_path / "pair.zarr")
    at_the_end, on_the_way = moments.read_merged(parts), moments.read_merged([pair, parts[2]])
    for name in ("count", "mean", "scatter", "gram"):
        np.testing.assert_array_equal(getattr(at_the_end, name), getattr(on_the_way, name))


def test_of_a_merge_that_fails_nothing_is_left(parts, tmp_path):
    chunk = tmp_path / "part_20.zarr/scatter/c/2/0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StudyError, match=r"part_20\.zarr is damaged"):
        moments.write_merged(tmp_path / "pair.zarr", parts[:2])
    assert sorted(tmp_path.iterdir()) == before


def test_a_merge_holds_blocks_of_tokens_not_whole_scatters(parts, tmp_path, monkeypatch):
    largest = []
    merge = moments._merge

    def noted(one, other):
        largest.append(0 if one.scatter is None else one.scatter.nbytes)
        return merge(one, other)

    monkeypatch.setattr(moments, "_merge", noted)
    moments.write_merged(tmp_path / "pair.zarr", parts[:2])
    assert max(largest) == 2 * 8 * triangles.length(FEATURES)
