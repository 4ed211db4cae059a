"""A damaged store of a real run is found: no read of it gives other numbers than those written."""

import random
import re
import shutil

import numpy as np
import pytest
from small_study import SMALL, Workflow
from tokengeometry.errors import StudyError
from tokengeometry.storage import zarr_store

STORES = {
    "activations": "activations/layer_01/part_001.zarr",
    "moments": "moments/layer_01/part_001.zarr",
    "spectra": "spectra/layer_01.zarr",
    "correlations": "correlations/layer_01.zarr",
}
TRIES = 250  # of each of the four: 1,000 in all


@pytest.fixture(params=STORES)
def store(request, finished, tmp_path):
    path = tmp_path / STORES[request.param]
    shutil.copytree(finished.branch / STORES[request.param], path)
    return path


def read(path):
    """All arrays of a store, as a job reads them."""
    store = zarr_store.open_store(path)
    names = [file.parent.name for file in sorted(path.glob("*/zarr.json"))]
    return {name: store[name][...] for name in names}


def files_of(path):
    return [file for file in sorted(path.rglob("*")) if file.is_file() and file.stat().st_size]


def assert_original_or_refused(path, original):
    """Returns whether the read was refused."""
    said = ""
    try:
        found = read(path)
    except StudyError as error:
        said = str(error)
    if said:
        assert re.fullmatch(rf"{path} is damaged \(.*\); delete it and run again to rebuild it", said)
        return True
    assert found.keys() == original.keys()
    for name, values in original.items():
        np.testing.assert_array_equal(found[name], values)
    return False


@pytest.mark.slow
def test_a_flipped_bit_is_refused_or_harmless(store):
    original, files = read(store), files_of(store)
    rng = random.Random(store.name)
    refused = 0
    for _ in range(TRIES):
        file = rng.choice(files)
        position = rng.randrange(8 * file.stat().st_size)
        with file.open("r+b") as opened:
            opened.seek(position // 8)
            byte = opened.read(1)[0]
            opened.seek(position // 8)
            opened.write(bytes([byte ^ 1 << position % 8]))
        refused += assert_original_or_refused(store, original)
        with file.open("r+b") as opened:
            opened.seek(position // 8)
            opened.write(bytes([byte]))
    # A bit in the blanks of the manifest may do no harm.
    assert refused > 0.9 * TRIES
    assert not assert_original_or_refused(store, original)


@pytest.mark.parametrize("harm", ["delete", "empty", "halve", "extend", "zeros", "exchange"])
def test_a_file_that_is_missing_or_of_another_length_is_refused(store, harm):
    original, files = read(store), files_of(store)
    for file, other in zip(files, files[1:] + files[:1], strict=True):
        content = file.read_bytes()
        if harm == "delete":
            file.unlink()
        else:
            harmed = {"empty": b"", "halve": content[: len(content) // 2], "extend": content + b"\0"}
            harmed |= {"zeros": bytes(len(content)), "exchange": other.read_bytes()}
            file.write_bytes(harmed[harm])
        assert assert_original_or_refused(store, original), file
        file.write_bytes(content)
    assert not assert_original_or_refused(store, original)


def test_verify_lists_every_damaged_store_and_fails(finished, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    assert re.search(r"^24 stores are whole$", workflow.run("verify").stdout, re.MULTILINE)

    flipped, cut, gone = (workflow.branch / STORES[name] for name in ("moments", "spectra", "activations"))
    for path, change in ((flipped, lambda b: b[:50] + bytes([b[50] ^ 1]) + b[51:]), (cut, lambda b: b[:-1])):
        chunk = max(files_of(path), key=lambda file: file.stat().st_size)
        chunk.write_bytes(change(chunk.read_bytes()))
    max(files_of(gone), key=lambda file: file.stat().st_size).unlink()

    process = workflow.run("verify", check=False)
    assert process.returncode != 0
    listed = re.findall(r"^ *(\S+\.zarr) is damaged \(.*\); delete it and run again", process.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(workflow.directory)) for path in (flipped, cut, gone))
    assert "error: 3 of 24 stores are damaged" in process.stdout
    assert "Traceback" not in process.stdout
