"""Half an unpacked data set is never taken for the whole one."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
import zipfile

import numpy as np
import pytest
import torchvision.datasets.eurosat
from PIL import Image
from small_datasets import md5, one_line, raw_tensors
from small_study import REPOSITORY
from tokengeometry.data import download, journal, splits
from tokengeometry.errors import StudyError

IMAGES = 12


def serve(url, checksum, setattr=setattr):
    """Let torchvision's EuroSAT, which knows a folder but no checksum of what is in it, come from another address."""
    download = torchvision.datasets.utils.download_and_extract_archive

    def elsewhere(_, download_root, md5):
        download(url, download_root, md5=checksum)

    setattr(torchvision.datasets.eurosat, "download_and_extract_archive", elsewhere)


def stop_within(image, stop, setattr=setattr):
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

    setattr(zipfile, "shutil", types.SimpleNamespace(copyfileobj=copy))


def fetch_and_stop(url, checksum, root, own_root, image):
    """What the killed process runs."""

    def stop():
        print("unpacking", flush=True)
        time.sleep(600)

    serve(url, checksum)
    stop_within(int(image), stop)
    download.fetch("EuroSAT", {"all": {"root": own_root} if own_root else {}}, root)


@pytest.fixture
def pictures(rng):
    """(image, row, column, rgb) uint8."""
    return rng.integers(0, 256, (IMAGES, 9, 7, 3), np.uint8)


@pytest.fixture
def served(mirror, pictures, monkeypatch):
    """EuroSAT's archive on a mirror: its address and its md5."""
    folder, address = mirror
    with zipfile.ZipFile(folder / "EuroSAT.zip", "w") as archive:
        for index, picture in enumerate(pictures):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "png")
            archive.writestr(f"2750/class_{index // 4}/{index:02d}.png", file.getvalue())
    served = (address + "EuroSAT.zip", md5(folder / "EuroSAT.zip"))
    serve(*served, monkeypatch.setattr)
    return served


@pytest.fixture
def killed(served, tmp_path):
    """A function that fetches in a process that is killed amid the unpacking of an image."""

    def kill(root, own_root="", image=6):
        program = "import sys, test_journal; test_journal.fetch_and_stop(*sys.argv[1:])"
        paths = [str(REPOSITORY / name) for name in ("tests", "tests/data", "workflow")]
        with subprocess.Popen(
            [sys.executable, "-c", program, *served, root, own_root, str(image)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            said = process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        assert (said, process.returncode) == ("unpacking\n", -signal.SIGKILL)

    return kill


def tree(folder):
    """Content of every file below a folder, but for the lock; None of a folder."""
    paths = (path for path in folder.rglob("*") if path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def assert_whole(root, pictures, arguments):
    assert download.fetch("EuroSAT", {"all": arguments}, root) == {"all": IMAGES}
    found = raw_tensors(splits.open_split("EuroSAT", arguments, root), range(IMAGES))
    np.testing.assert_array_equal(found, pictures.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("image", [0, 6])
def test_a_killed_unpacking_is_undone_and_done_again(killed, pictures, tmp_path, caplog, image):
    root = tmp_path / "data"
    placed = {"eurosat/notes.txt": b"mine", "splits/test.json": b"{}", "cut_short/eurosat/older.png": b"older"}
    for name, content in placed.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    killed(root, image=image)
    # What torchvision takes for the whole.
    assert len(torchvision.datasets.EuroSAT(root)) == image + 1

    assert_whole(root, pictures, {})
    assert [str(root) in record.message for record in caplog.records] == [True]
    found = tree(root)
    assert journal.JOURNAL not in found
    assert placed.items() <= found.items()
    aside = {path for path in found if path.startswith("cut_short/") and path.endswith(".png")}
    names = [f"2750/class_{index // 4}/{index:02d}.png" for index in range(image + 1)]
    assert aside == {"cut_short/eurosat/older.png", *(f"cut_short/eurosat/{name}" for name in names)}
    assert {"cut_short/eurosat/EuroSAT.zip", "eurosat/EuroSAT.zip"} <= set(found)
    before = tree(root)
    assert_whole(root, pictures, {})
    assert tree(root) == before


def test_in_the_users_own_root_nothing_is_moved_and_said_what_to_delete(killed, pictures, tmp_path):
    root, own = tmp_path / "data", tmp_path / "own"
    own.mkdir()
    (own / "notes.txt").write_text("mine")
    killed(root, str(own))
    left = tree(own)
    for _ in range(2):
        with pytest.raises(StudyError) as error:
            download.fetch("EuroSAT", {"all": {"root": str(own)}}, root)
        assert one_line(error) == (
            f"{own}: a download was cut short and may have unpacked half of its files: "
            "delete eurosat/ and .fetching.json there and run again"
        )
        assert tree(own) == left
    shutil.rmtree(own / "eurosat")
    (own / ".fetching.json").unlink()
    assert_whole(root, pictures, {"root": str(own)})
    assert (own / "notes.txt").read_text() == "mine"


def full():
    raise OSError(28, "No space left on device")


def test_an_error_amid_the_unpacking_is_undone_at_once(served, pictures, tmp_path, monkeypatch):
    (tmp_path / "data" / "eurosat" / "empty").mkdir(parents=True)
    with monkeypatch.context() as patch:
        stop_within(5, full, patch.setattr)
        with pytest.raises(OSError, match="No space left"):
            download.fetch("EuroSAT", {"all": {}}, tmp_path / "data")
    found = tree(tmp_path / "data")
    assert {path for path in found if not path.startswith("cut_short")} == {"eurosat", "eurosat/empty"}
    assert "cut_short/eurosat/2750/class_1/05.png" in found
    assert_whole(tmp_path / "data", pictures, {})


def test_an_error_in_the_users_own_root_says_what_it_left(served, tmp_path, monkeypatch, caplog):
    own = tmp_path / "own"
    with monkeypatch.context() as patch:
        stop_within(5, full, patch.setattr)
        with pytest.raises(OSError, match="No space left"):
            download.fetch("EuroSAT", {"all": {"root": str(own)}}, tmp_path)
    assert "delete eurosat/ and .fetching.json there" in caplog.text
    assert {"eurosat/EuroSAT.zip", ".fetching.json"} <= set(tree(own))
    assert not (own / "cut_short").exists()


@pytest.mark.parametrize("own", [True, False])
def test_a_download_that_never_began_leaves_nothing(tmp_path, monkeypatch, own):
    serve("http://127.0.0.1:9/EuroSAT.zip", "0" * 32, monkeypatch.setattr)
    arguments = {"root": str(tmp_path / "own")} if own else {}
    for _ in range(2):
        with pytest.raises(StudyError, match="EuroSAT: the download failed .*Connection refused") as error:
            download.fetch("EuroSAT", {"all": arguments}, tmp_path / "data")
        one_line(error)
    assert set(tree(tmp_path)) <= {"own", "data"}


def test_two_studies_that_unpack_into_the_same_folder_take_turns(served, pictures, tmp_path, monkeypatch):
    unpacking = threading.Event()
    stop_within(5, lambda: (unpacking.set(), time.sleep(0.5)), monkeypatch.setattr)
    arguments = {"root": str(tmp_path / "own")}
    first = threading.Thread(target=download.fetch, args=("EuroSAT", {"all": arguments}, tmp_path / "one"))
    first.start()
    assert unpacking.wait(10)
    assert download.fetch("EuroSAT", {"all": arguments}, tmp_path / "two") == {"all": IMAGES}
    first.join()


def test_an_undoing_cut_short_is_finished_by_the_next(tmp_path, monkeypatch):
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "kept").touch()
    (tmp_path / "link").symlink_to("before")
    replace, moved = os.replace, []

    def cut(source, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(source)
        replace(source, target)

    with contextlib.suppress(KeyboardInterrupt), journal.journal(tmp_path, is_users=False):
        for index in range(4):
            (tmp_path / "new" / str(index)).mkdir(parents=True)
            (tmp_path / "new" / str(index) / "file").touch()
        (tmp_path / "before" / "new link").symlink_to(tmp_path / "new")
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        journal.undo(tmp_path, is_users=False)
    monkeypatch.setattr(os, "replace", replace)
    assert (tmp_path / journal.JOURNAL).exists()
    journal.undo(tmp_path, is_users=False)
    assert {path.name for path in tmp_path.iterdir()} == {"before", "link", "cut_short"}
    assert {path.name for path in (tmp_path / "before").iterdir()} == {"kept"}
    aside = tmp_path / "cut_short"
    assert sorted(path.relative_to(aside).as_posix() for path in aside.rglob("file")) == [
        f"new/{index}/file" for index in range(4)
    ]
    assert (aside / "before" / "new link").is_symlink()
