"""A store is whole or not there, and what it gives is what was written."""

import random
import re
import shutil

import numpy as np
import pytest
import xarray
from tokengeometry.errors import StudyError
from tokengeometry.storage import chunk_sizes, zarr_store


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(10, 4, 3)).astype(np.float32)


@pytest.fixture
def path(tmp_path, values):
    path = tmp_path / "part_000.zarr"
    with zarr_store.create(path, layer=3) as store:
        array = store.create(
            "activations", values.shape, values.dtype, ("sample", "token", "feature"), chunks=(4, 4, 3)
        )
        for start in range(0, 10, 4):
            array[start : start + 4] = values[start : start + 4]
        store.write("sample", np.arange(10, 20), ("sample",))
        store.write("floor", 0.5, ())
    return path


def test_what_was_written_is_read(path, values):
    store = zarr_store.open_store(path)
    np.testing.assert_array_equal(store["activations"][:], values)
    np.testing.assert_array_equal(store["activations"][3:7, 1], values[3:7, 1])
    assert store["floor"][...] == 0.5
    assert store.attributes == {"layer": 3}
    assert "gram" not in store
    zarr_store.verify(path)


@pytest.mark.filterwarnings("error")
def test_xarray_opens_a_labelled_array_without_a_warning(path, values):
    data = xarray.open_zarr(path)
    assert data.activations.dims == ("sample", "token", "feature")
    np.testing.assert_array_equal(data.activations.sel(sample=13), values[3])
    assert data.attrs["layer"] == 3


def test_a_store_that_fails_midway_is_not_there(tmp_path):
    path = tmp_path / "store.zarr"

    def write_and_stop():
        with zarr_store.create(path) as store:
            store.write("mean", np.zeros(3), ("feature",))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert list(tmp_path.iterdir()) == []


def test_a_store_replaces_the_one_before_and_what_a_killed_job_left(path):
    shutil.copytree(path, path.with_name(path.name + ".partial"))
    with zarr_store.create(path) as store:
        store.write("mean", np.arange(3.0), ("feature",))
    np.testing.assert_array_equal(zarr_store.open_store(path)["mean"][:], np.arange(3.0))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_flipped_bit_anywhere_is_an_error_or_harmless(path, values):
    files = sorted(file for file in path.rglob("*") if file.is_file())
    rng = random.Random(0)
    errors = []
    for _ in range(300):
        file = rng.choice(files)
        original = file.read_bytes()
        position = rng.randrange(8 * len(original))
        damaged = bytearray(original)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(damaged)
        try:
            zarr_store.verify(path)
            store = zarr_store.open_store(path)
            np.testing.assert_array_equal(store["activations"][:], values)
            np.testing.assert_array_equal(store["sample"][:], np.arange(10, 20))
            assert store["floor"][...] == 0.5
        except StudyError as error:
            errors.append(str(error))
        file.write_bytes(original)
    assert len(errors) > 250
    for error in errors:
        assert re.fullmatch(rf"{path} is damaged \(.*\); delete it and run again to rebuild it", error)


@pytest.mark.parametrize("harm", ["delete", "truncate", "empty", "extend"])
def test_a_missing_or_cut_file_is_an_error(path, harm):
    for file in [file for file in path.rglob("*") if file.is_file()]:
        original = file.read_bytes()
        if harm == "delete":
            file.unlink()
        else:
            file.write_bytes({"truncate": original[:-3], "empty": b"", "extend": original + b"x"}[harm])
        with pytest.raises(StudyError, match="damaged"):
            zarr_store.verify(path)
        file.write_bytes(original)
    zarr_store.verify(path)


def test_a_store_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"none\.zarr does not exist"):
        zarr_store.open_store(tmp_path / "none.zarr")


def test_chunks_are_about_32_mebibytes_and_hold_at_least_one_sample():
    length = chunk_sizes.chunk_length((2000, 257, 384), np.float32)
    assert 30 * 2**20 < length * 257 * 384 * 4 <= 32 * 2**20
    assert chunk_sizes.chunk_length((5, 10_000, 10_000), np.float32) == 1
    assert chunk_sizes.chunk_length((5, 2), np.float32) == 5


FOREIGN = (".nfs00000000001a2b3c0000d4e5", ".DS_Store", "._zarr.json", "._0", "Thumbs.db", "desktop.ini", "notes.txt")


@pytest.mark.parametrize("place", ["", "activations", "activations/c", "activations/c/0/0", "sample/c", "floor"])
def test_files_that_others_left_in_a_store_are_no_damage(path, values, place):
    for name in FOREIGN:
        (path / place / name).write_bytes(b"none of the store's")
    zarr_store.verify(path)
    np.testing.assert_array_equal(zarr_store.open_store(path)["activations"][:], values)
    path.with_name("._part_000.zarr").write_bytes(b"beside it")
    assert zarr_store.damaged(path.parent) == {path: ""}


def test_among_foreign_files_a_missing_or_further_chunk_is_still_damage(path):
    (path / "activations/c/0/0/.DS_Store").touch()
    chunk, further = path / "activations/c/2/0/0", path / "activations/c/3/0/0"
    further.parent.mkdir(parents=True)
    chunk.rename(further)
    with pytest.raises(StudyError, match="is damaged .array activations has 2 of 3 chunks"):
        zarr_store.open_store(path)
    shutil.copyfile(further, chunk)
    with pytest.raises(StudyError, match="is damaged .array activations has a chunk beyond its 3, c/3/0/0"):
        zarr_store.open_store(path)
    further.unlink()
    zarr_store.verify(path)
