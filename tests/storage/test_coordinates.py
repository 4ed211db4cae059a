"""Every store names what lies along its axes, with the names of the tables."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray
from tokengeometry.model import tokens
from tokengeometry.storage import zarr_store

# Coordinates along each dimension, where it has any.
ALONG = {
    "sample": {"sample"},
    "token": {"token", "name", "kind", "row", "column"},
    "other_token": {"other_token", "other_name"},
    "rank": {"rank"},
    "concatenated_rank": {"concatenated_rank"},
    "held_out_rank": {"held_out_rank"},
    "measure": {"measure"},
    "pairs": {"pairs"},
}
STORES = {
    "activations": {"sample", "token", "feature"},
    "moments": {"sample", "token", "other_token", "feature", "other_feature", "feature_pair"},
    "concatenated.zarr": {"rank", "held_out_rank", "sample", "band"},
    "uncertainty": {"sample", "token", "rank", "band", "measure", "pairs", "fold"},
    "spectra": {"sample", "token", "feature", "rank", "concatenated_rank"},
    "correlations": {"token", "other_token"},
}


@pytest.fixture(scope="module")
def alpha(finished):
    return pd.read_csv(finished.branch / "alpha.csv")


def stores(finished):
    return sorted(finished.branch.rglob("*.zarr"))


@pytest.mark.filterwarnings("error")
def test_xarray_finds_the_coordinates_of_every_dimension(finished):
    for path in stores(finished):
        data = xarray.open_zarr(path)
        named = path.relative_to(finished.branch).parts[0]
        expected = STORES.get(path.name, STORES[named])
        assert set(data.sizes) == expected, path
        assert set(data.coords) == {"layer"}.union(*(ALONG.get(dimension, set()) for dimension in expected)), path
        assert int(data.layer) == int(data.attrs["layer"])
        for name in {"rank", "concatenated_rank"} & set(data.coords):
            np.testing.assert_array_equal(data[name], np.arange(1, data.sizes[name] + 1))


def test_tokens_are_those_of_the_tables(finished, alpha):
    for path in stores(finished):
        data = xarray.open_zarr(path)
        if "token" not in data.dims:
            continue
        rows = alpha[(alpha.layer == int(data.layer)) & alpha.token.notna()]
        for column in ("token", "name", "kind", "row", "column"):
            values = data[column].to_numpy()
            expected = rows[column].to_numpy(dtype=values.dtype)
            np.testing.assert_array_equal(values, expected)
        if "other_token" in data.dims:
            np.testing.assert_array_equal(data.other_token, data.token)
            np.testing.assert_array_equal(data.other_name, data.name)


def test_samples_are_the_indices_in_the_split(finished):
    # As tokengeometry.data.splits says: a seeded permutation of the split's images, cut into parts.
    chosen = np.random.default_rng(3).permutation(30)[:24]
    for layer in ("00", "01", "02"):
        for kind in ("activations", "moments"):
            for part, samples in (("000", chosen[:16]), ("001", chosen[16:])):
                data = xarray.open_zarr(finished.branch / f"{kind}/layer_{layer}/part_{part}.zarr")
                np.testing.assert_array_equal(data.sample, samples)


def test_a_value_is_found_by_the_name_of_its_token(finished):
    model = json.loads(finished.path("models/tiny/model.json").read_text())
    number = list(tokens.token_table(model).name).index("1,2")
    assert number == 1 + 1 * 4 + 2
    store = zarr_store.open_store(finished.branch / "correlations/layer_02.zarr")
    data = xarray.open_zarr(finished.branch / "correlations/layer_02.zarr").set_xindex("name").set_xindex("other_name")
    found = data.correlation.sel(name="1,2", other_name="cls")
    assert float(found) == store["correlation"][number, 0]
    assert (found.kind, found.row, found.column) == ("spatial", 1, 2)


def test_a_coordinate_of_another_length_than_the_arrays_is_refused(tmp_path):
    labels = {"token": (("token",), np.arange(3)), "sample": (("sample",), np.arange(5))}
    with (
        pytest.raises(ValueError, match=r"coordinate token \(3,\) does not fit"),
        zarr_store.create(tmp_path / "s.zarr", labels) as store,
    ):
        store.write("mean", np.zeros((2, 4)), ("token", "feature"))
    with zarr_store.create(tmp_path / "s.zarr", labels) as store:
        store.write("mean", np.zeros((3, 4)), ("token", "feature"))
    # Of samples it has no array.
    assert zarr_store.open_store(tmp_path / "s.zarr").labels.keys() == {"token"}
