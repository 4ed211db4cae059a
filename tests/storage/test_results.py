"""All results of a study as one tree: what the tables and stores hold, read late, and never a damaged number."""

import shutil

import numpy as np
import pandas as pd
import pytest
import xarray
from tokengeometry import open_results, unpack_scatter
from tokengeometry.errors import StudyError
from tokengeometry.storage import zarr_store
from tokengeometry.study import TABLES

BRANCH = "tiny/pictures/test"
LAYERS = [0, 1, 2]


@pytest.fixture(scope="module")
def tree(finished):
    return open_results(finished.path())


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the branch, to be harmed."""
    shutil.copytree(finished.branch, tmp_path / "results" / BRANCH)
    return tmp_path / "results"


def flip(array):
    """Flip one bit in the middle of an array's first chunk."""
    chunk = min(file for file in (array / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)


def test_the_tree_has_every_table_and_store(finished, tree):
    tables = {path.stem for path in finished.branch.glob("*.csv")}
    assert tables == {*TABLES, "alpha", "rankme", "token_norm"} - {"reduction", "reduction_comparison"}
    assert set(tree[BRANCH].children) == tables | {"spectra", "correlations", "uncertainty", "activations", "moments"}
    assert {path.rpartition("/")[0] for path in tree.groups if path.count("/") == 5} == {
        f"/{BRANCH}/activations",
        f"/{BRANCH}/moments",
    }
    assert tree[BRANCH].attrs == {"model": "tiny", "dataset": "pictures", "split": "test"}


@pytest.mark.parametrize("name", ["alpha", "rankme", "token_norm"])
def test_statistics_are_those_of_the_tables(finished, tree, name):
    table = pd.read_csv(finished.branch / f"{name}.csv", keep_default_na=False, na_values=[""])
    data = tree[BRANCH][name].to_dataset()
    assert data.sizes == {"layer": 3, "token": 17}
    columns = table.columns[6:]
    seen = 0
    for row in table.itertuples():
        for column in columns:
            if row.kind in ("prefix", "spatial"):
                found = data[column].sel(layer=row.layer, token=row.token)
                assert (found.coords["name"], found.kind) == (row.name, row.kind)
                np.testing.assert_array_equal([found.row, found.column], [row.row, row.column])
                by_name = data[column].sel(layer=row.layer, name=row.name)
                np.testing.assert_array_equal(by_name, found)
            else:
                found = data[f"{row.kind}_{column}"].sel(layer=row.layer)
            value = getattr(row, column)
            if found.dtype.kind == "f":
                np.testing.assert_array_equal(found, value)
            else:
                assert str(found.values) == ("" if pd.isna(value) else str(value))
            seen += 1
    assert seen == len(table) * len(columns)
    # Layer 0 has no CLS.
    assert np.isnan(data[columns[0]].sel(layer=0, name="cls"))


def test_other_tables_lie_along_their_layers_or_tokens(finished, tree):
    for name, dimension in (("correlation", "layer"), ("clusters", "token")):
        table = pd.read_csv(finished.branch / f"{name}.csv").set_index(dimension)
        data = tree[BRANCH][name].to_dataset()
        np.testing.assert_array_equal(data[dimension], table.index)
        for column in table.columns.drop("reason", errors="ignore"):
            assert data[column].dims == (dimension,)
            np.testing.assert_array_equal(data[column], table[column])


def test_spectra_and_correlations_are_those_of_the_stores(finished, tree):
    spectra, correlations = (tree[BRANCH][kind].to_dataset() for kind in ("spectra", "correlations"))
    assert spectra.eigenvalues.dims == ("layer", "token", "rank")
    assert spectra.concatenated.dims == ("layer", "concatenated_rank")
    for layer in LAYERS:
        store = zarr_store.open_store(finished.branch / f"spectra/layer_{layer:02d}.zarr")
        tokens, ranks = store["eigenvalues"].shape
        first = 17 - tokens
        assert first == (layer == 0)
        for name in ("eigenvalues", "floor"):
            found = spectra[name].sel(layer=layer)
            np.testing.assert_array_equal(found[first:, :ranks], store[name][:])
            assert np.isnan(found[:first]).all()
            assert np.isnan(found[:, ranks:]).all()
        for name in ("averaged", "pooled_floor"):
            np.testing.assert_array_equal(spectra[name].sel(layer=layer)[:ranks], store[name][:])
        np.testing.assert_array_equal(spectra.concatenated.sel(layer=layer), store["concatenated"][:])
        matrix = zarr_store.open_store(finished.branch / f"correlations/layer_{layer:02d}.zarr")["correlation"][:]
        found = correlations.correlation.sel(layer=layer)
        np.testing.assert_array_equal(found[first:, first:], matrix)
        assert np.isnan(found[:first]).all()
    np.testing.assert_array_equal(spectra["rank"], np.arange(1, spectra.sizes["rank"] + 1))


def test_means_and_norms_of_all_layers_are_those_of_the_activations(finished, tree):
    spectra = tree[BRANCH]["spectra"].to_dataset()
    assert spectra["mean"].dims == ("layer", "token", "feature")
    assert spectra.norms.dims == ("layer", "sample", "token")
    assert spectra.norms.shape == (3, 24, 17)
    for layer in LAYERS:
        activations = tree[f"{BRANCH}/activations/layer_{layer:02d}"].activations
        np.testing.assert_array_equal(spectra["sample"], activations["sample"])
        whole = activations.to_numpy().astype(np.float64)
        tokens, features = whole.shape[1:]
        means, norms = spectra["mean"].sel(layer=layer), spectra.norms.sel(layer=layer)
        np.testing.assert_allclose(means[17 - tokens :, :features], whole.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(norms[:, 17 - tokens :], np.linalg.norm(whole, axis=2), rtol=1e-6)
        assert np.isnan(norms[:, : 17 - tokens]).all()


def test_every_way_to_index_reads_what_the_whole_array_has(tree, rng):
    lazy = tree[BRANCH]["spectra"].to_dataset().eigenvalues
    whole = lazy.values
    for key in (
        (0,),
        (slice(None), 3, slice(1, None, 5)),
        ([2, 0], slice(None, None, -1), -1),
        (slice(1, 1),),
        ([1], [16, 0, 7], [5, 5, 2]),
        (1, 2, 3),
    ):
        np.testing.assert_array_equal(
            lazy[key], whole[np.ix_(*map(np.atleast_1d, _positions(key, whole.shape)))].reshape(lazy[key].shape)
        )
    layer, token = xarray.DataArray([0, 2, 1], dims="point"), xarray.DataArray([4, 0, 16], dims="point")
    np.testing.assert_array_equal(lazy[layer, token], whole[[0, 2, 1], [4, 0, 16]])


def _positions(key, shape):
    key = [*key, *[slice(None)] * (len(shape) - len(key))]
    return [np.arange(size)[its] for size, its in zip(shape, key, strict=True)]


def test_parts_follow_one_another(finished, tree):
    for layer in LAYERS:
        node = tree[BRANCH]["activations"][f"layer_{layer:02d}"].to_dataset()
        parts = [
            zarr_store.open_store(finished.branch / f"activations/layer_{layer:02d}/part_{part}.zarr")
            for part in ("000", "001")
        ]
        expected = np.concatenate([part["activations"][:] for part in parts])
        assert (node.activations.dims, node.activations.dtype) == (("sample", "token", "feature"), np.float32)
        np.testing.assert_array_equal(node.activations, expected)
        # Across the seam of the parts, 16 and 8 samples.
        np.testing.assert_array_equal(node.activations[14:18, -1, ::3], expected[14:18, -1, ::3])
        np.testing.assert_array_equal(node.sample, np.concatenate([part["sample"][:] for part in parts]))
        moments = tree[BRANCH]["moments"][f"layer_{layer:02d}"].to_dataset()
        assert moments.samples.values.tolist() == [16, 8]
        assert moments.scatter.dims == ("part", "token", "feature_pair")
        first = parts[0]["activations"][:, 2].astype(float)
        scatter = (first - first.mean(axis=0)).T @ (first - first.mean(axis=0))
        np.testing.assert_allclose(unpack_scatter(moments.scatter[0, 2]), scatter, rtol=1e-6, atol=1e-9)
        mean = (moments["mean"] * moments.samples).sum("part") / moments.samples.sum()
        np.testing.assert_allclose(mean, expected.mean(axis=0, dtype=np.float64), rtol=0, atol=1e-5)
        np.testing.assert_allclose(moments.norms, np.linalg.norm(expected.astype(float), axis=2), rtol=1e-5)


def test_nothing_is_read_before_it_is_used_and_damage_is_an_error_then(study):
    damaged = (
        ("spectra", "eigenvalues", "spectra/layer_01.zarr"),
        ("correlations", "correlation", "correlations/layer_02.zarr"),
        ("activations/layer_01", "activations", "activations/layer_01/part_001.zarr"),
    )
    for _, name, store in damaged:
        flip(study / BRANCH / store / name)
    tree = open_results(study)[BRANCH]
    tree["spectra"].eigenvalues.sel(layer=2).load()
    tree["correlations"].correlation.sel(layer=[0, 1]).load()
    tree["activations/layer_01"].activations[:16].load()
    for node, name, store in damaged:
        with pytest.raises(StudyError, match=rf"{BRANCH}/{store} is damaged \(array {name}"):
            tree[node][name].load()


@pytest.mark.parametrize("file", ["zarr.json", "eigenvalues/zarr.json", "name/c/0"])
def test_damaged_metadata_and_coordinates_are_an_error_at_once(study, file):
    store = study / BRANCH / "spectra/layer_01.zarr"
    content = (store / file).read_bytes()
    (store / file).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(StudyError, match=r"spectra/layer_01\.zarr is damaged"):
        open_results(study)


def test_what_is_not_there_is_not_in_the_tree(study):
    shutil.rmtree(study / BRANCH / "activations")
    shutil.rmtree(study / BRANCH / "spectra/layer_00.zarr")
    tree = open_results(study)[BRANCH]
    assert "activations" not in tree.children
    np.testing.assert_array_equal(tree["spectra"].layer, [1, 2])


def test_a_folder_without_results_is_an_error_in_one_line(tmp_path, finished):
    with pytest.raises(StudyError, match=r"none does not exist; name the folder of a study"):
        open_results(tmp_path / "none")
    with pytest.raises(StudyError, match="has no results of a study"):
        open_results(finished.path("tiny"))


def test_stores_without_coordinates_are_said_to_be_old(study):
    path = study / BRANCH / "spectra/layer_01.zarr"
    with zarr_store.create(path, layer="01") as store:
        store.write("eigenvalues", np.zeros((17, 5)), ("token", "rank"))
    with pytest.raises(StudyError, match=r"layer_01\.zarr has no coordinates: an earlier version made it"):
        open_results(study)
