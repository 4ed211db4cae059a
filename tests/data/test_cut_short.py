"""Half a data set is never taken for the whole one, and a user's own folder is only read."""

import io
import multiprocessing
import os
import signal
import threading
import time
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets.eurosat
import torchvision.datasets.gtsrb
from PIL import Image
from small_datasets import FashionMNIST, md5, one_line, raw_tensors
from tokengeometry.data import download, splits
from tokengeometry.errors import StudyError

IMAGES = 12
TRAIN, TEST = {"split": "train"}, {"split": "test"}


def serve(mirror, address, monkeypatch):
    """Let torchvision's EuroSAT and GTSRB, which know a folder but no checksum of what is in it, come from a mirror."""
    fetch = torchvision.datasets.utils.download_and_extract_archive

    def elsewhere(url, download_root, **its):
        name = url.split("/")[-1]
        fetch(address + name, download_root, md5=md5(mirror / name))

    for module in (torchvision.datasets.eurosat, torchvision.datasets.gtsrb):
        monkeypatch.setattr(module, "download_and_extract_archive", elsewhere)


def stop_within(image, stop, monkeypatch):
    """Call `stop` when half of this image's bytes are unpacked."""
    copied = []

    def copy(source, target):
        content = source.read()
        half = len(content) // 2
        copied.append(target.write(content[:half]))
        if len(copied) == image + 1:
            target.flush()
            stop()
        target.write(content[half:])

    monkeypatch.setattr(zipfile, "shutil", types.SimpleNamespace(copyfileobj=copy))


def stop_before_move(file, stop, monkeypatch):
    """Call `stop` when all is whole, and before this file moves to its place."""
    move, moved = download.shutil.move, []

    def moving(source, target):
        if len(moved) == file:
            stop()
        moved.append(move(source, target))

    monkeypatch.setattr(download.shutil, "move", moving)


@pytest.fixture
def pictures(rng):
    """(image, row, column, rgb) uint8."""
    return rng.integers(0, 256, (IMAGES, 9, 7, 3), np.uint8)


@pytest.fixture
def served(mirror, pictures, monkeypatch):
    """EuroSAT's archive and GTSRB's on a mirror."""
    folder, address = mirror
    names = {
        "EuroSAT.zip": [f"2750/class_{index // 4}/{index:02d}.png" for index in range(IMAGES)],
        "GTSRB-Training_fixed.zip": [f"GTSRB/Training/0000{index // 4}/{index:02d}.ppm" for index in range(IMAGES)],
        "GTSRB_Final_Test_Images.zip": [f"GTSRB/Final_Test/Images/{index:02d}.ppm" for index in range(IMAGES)],
    }
    for name, members in names.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, picture in zip(members, pictures, strict=True):
                file = io.BytesIO()
                Image.fromarray(picture).save(file, Path(member).suffix[1:])
                archive.writestr(member, file.getvalue())
    with zipfile.ZipFile(folder / "GTSRB_Final_Test_GT.zip", "w") as archive:
        rows = "".join(f"{index:02d}.ppm;0\n" for index in range(IMAGES))
        archive.writestr("GT-final_test.csv", f"Filename;ClassId\n{rows}")
    serve(folder, address, monkeypatch)
    return folder, address


@pytest.fixture
def killed(served, monkeypatch):
    """A function that fetches in a process that is killed amid the unpacking, or the moving."""
    processes = multiprocessing.get_context("fork")

    def kill(root, stop_at, count, class_name="EuroSAT", arguments=None):
        stopped = processes.Event()
        with monkeypatch.context() as patch:
            stop_at(count, lambda: (stopped.set(), time.sleep(600)), patch)
            process = processes.Process(target=download.fetch, args=(class_name, {"some": arguments or {}}, root))
            process.start()
        assert stopped.wait(30)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    return kill


def full(*arguments):
    raise OSError(28, "No space left on device")


def tree(folder):
    """Content of every file below a folder, but for the lock; None of a folder."""
    paths = (path for path in folder.rglob("*") if path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def assert_whole(root, pictures, class_name="EuroSAT", arguments=None):
    arguments = arguments or {}
    assert download.fetch(class_name, {"some": arguments}, root) == {"some": IMAGES}
    found = raw_tensors(splits.open_split(class_name, arguments, root), range(IMAGES))
    np.testing.assert_array_equal(found, pictures.transpose(0, 3, 1, 2))
    assert not {download.PARTIAL, download.WHOLE} & set(tree(root))


@pytest.mark.parametrize("image", [0, 6])
def test_what_a_killed_unpacking_left_is_not_taken(killed, pictures, tmp_path, image):
    root = tmp_path / "data"
    placed = {"eurosat/notes.txt": b"mine", "splits/test.json": b"{}"}
    for name, content in placed.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    killed(root, stop_within, image)
    # What torchvision takes for the whole, were it in its place.
    assert len(torchvision.datasets.EuroSAT(root / download.PARTIAL)) == image + 1
    with pytest.raises(StudyError, match="EuroSAT cannot be opened: .*: Dataset not found$"):
        splits.open_split("EuroSAT", {}, root)

    assert_whole(root, pictures)
    before = tree(root)
    assert placed.items() <= before.items()
    assert_whole(root, pictures)
    assert tree(root) == before


@pytest.mark.parametrize("file", [0, 1, 7])
def test_a_killed_move_is_ended_by_the_next_fetch(killed, pictures, tmp_path, monkeypatch, file):
    killed(tmp_path / "data", stop_before_move, file)
    monkeypatch.setattr(torchvision.datasets.eurosat, "download_and_extract_archive", None)
    assert_whole(tmp_path / "data", pictures)


@pytest.mark.parametrize(("stop_at", "count"), [(stop_within, 5), (stop_before_move, 9)])
def test_a_second_split_killed_leaves_the_first_as_it_was(killed, pictures, tmp_path, stop_at, count):
    root = tmp_path / "data"
    assert_whole(root, pictures, "GTSRB", TRAIN)
    first = tree(root)
    killed(root, stop_at, count, "GTSRB", TEST)
    assert first.items() <= tree(root).items()
    np.testing.assert_array_equal(
        raw_tensors(splits.open_split("GTSRB", TRAIN, root), range(IMAGES)), pictures.transpose(0, 3, 1, 2)
    )
    assert_whole(root, pictures, "GTSRB", TEST)
    assert_whole(root, pictures, "GTSRB", TRAIN)
    assert first.items() <= tree(root).items()


@pytest.mark.parametrize("has_links", [True, False])
def test_an_archive_put_by_hand_is_unpacked(served, pictures, tmp_path, monkeypatch, has_links):
    root = tmp_path / "data"
    (root / "eurosat").mkdir(parents=True)
    (served[0] / "EuroSAT.zip").rename(root / "eurosat" / "EuroSAT.zip")
    serve(root / "eurosat", "http://127.0.0.1:9/", monkeypatch)
    if not has_links:
        monkeypatch.setattr(os, "link", full)
    assert_whole(root, pictures)


def test_an_error_amid_the_unpacking_leaves_nothing(served, pictures, tmp_path, monkeypatch):
    (tmp_path / "data" / "eurosat" / "empty").mkdir(parents=True)
    with monkeypatch.context() as patch:
        stop_within(5, full, patch)
        with pytest.raises(OSError, match="No space left"):
            download.fetch("EuroSAT", {"all": {}}, tmp_path / "data")
    assert set(tree(tmp_path / "data")) == {"eurosat", "eurosat/empty"}
    assert_whole(tmp_path / "data", pictures)


def test_a_download_that_never_began_leaves_nothing(served, tmp_path, monkeypatch):
    serve(served[0], "http://127.0.0.1:9/", monkeypatch)
    for _ in range(2):
        with pytest.raises(StudyError, match="EuroSAT: the download failed .*Connection refused") as error:
            download.fetch("EuroSAT", {"all": {}}, tmp_path / "data")
        assert one_line(error).endswith(f"put the files that torchvision documents for it in {tmp_path / 'data'}")
        assert tree(tmp_path / "data") == {}


def test_two_studies_that_fetch_into_the_same_folder_take_turns(served, pictures, tmp_path, monkeypatch):
    unpacking = threading.Event()
    stop_within(5, lambda: (unpacking.set(), time.sleep(0.5)), monkeypatch)
    first = threading.Thread(target=download.fetch, args=("EuroSAT", {"all": {}}, tmp_path / "data"))
    first.start()
    assert unpacking.wait(10)
    assert download.fetch("EuroSAT", {"all": {}}, tmp_path / "data") == {"all": IMAGES}
    first.join()


# A user's own folder


def test_nothing_is_downloaded_below_the_users_own_root(served, tmp_path):
    own = tmp_path / "own"
    (own / "eurosat").mkdir(parents=True)
    (own / "eurosat" / "EuroSAT.zip").write_bytes((served[0] / "EuroSAT.zip").read_bytes())
    before = tree(own)
    with pytest.raises(StudyError) as error:
        download.fetch("EuroSAT", {"all": {"root": str(own)}}, tmp_path / "data")
    assert one_line(error) == (
        f"EuroSAT cannot be opened: {own}: Dataset not found; a root of yours is only read: put the unpacked files "
        "there, or leave root out of the arguments to have them downloaded"
    )
    assert tree(own) == before
    assert tree(tmp_path / "data") == {}


def test_files_below_the_users_own_root_are_taken(served, pictures, tmp_path):
    assert_whole(tmp_path / "own", pictures)
    before = tree(tmp_path / "own")
    assert_whole(tmp_path / "data", pictures, arguments={"root": str(tmp_path / "own")})
    assert tree(tmp_path / "own") == before
    assert tree(tmp_path / "data") == {}


def test_a_damaged_file_below_the_users_own_root_stays(placed, tmp_path):
    download.fetch("FashionMNIST", {"train": {}}, tmp_path)
    images = placed / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:1000])
    with pytest.raises(StudyError, match=f"{images} fails its checksum") as error:
        download.fetch(FashionMNIST.__name__, {"train": {"root": str(tmp_path)}}, tmp_path / "data")
    one_line(error)
    assert images.stat().st_size == 1000
