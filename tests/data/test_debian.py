"""Fashion-MNIST from Debian's package."""

import gzip
import os
import shutil
import time
from pathlib import Path

import pytest
from small_datasets import SPLITS, FashionMNIST, md5, one_line
from tokengeometry.data import debian, download
from tokengeometry.errors import StudyError


@pytest.fixture
def debian_files(idx_archives, tmp_path):
    """The archives with gzip headers as Debian's build leaves them."""
    folder = tmp_path / "debian"
    folder.mkdir()
    for archive in idx_archives[0].iterdir():
        content = archive.read_bytes()
        deflate = content[content.index(b"\0", 10) + 1 :]
        (folder / archive.name).write_bytes(b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\x03" + deflate)
    return folder


def test_fashion_mnist_comes_from_the_installed_package(debian_files, idx_archives, tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "INSTALLED", debian_files)
    assert download.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    for published in idx_archives[0].iterdir():
        placed = tmp_path / "FashionMNIST" / "raw" / published.name
        assert placed.read_bytes() == published.read_bytes()
    assert not [p for p in (tmp_path / "FashionMNIST" / "raw").iterdir() if p.name.startswith(".")]


def test_a_corrupted_leftover_is_replaced_from_the_package(debian_files, placed, tmp_path, monkeypatch):
    archive = placed / "t10k-images-idx3-ubyte.gz"
    published = archive.read_bytes()
    archive.write_bytes(gzip.compress(b"something else"))
    monkeypatch.setattr(debian, "INSTALLED", debian_files)
    assert download.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    assert archive.read_bytes() == published


def test_a_damaged_package_is_refused(debian_files, tmp_path, monkeypatch):
    damaged = debian_files / "train-labels-idx1-ubyte.gz"
    content = bytearray(damaged.read_bytes())
    content[-9] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(debian, "INSTALLED", debian_files)
    with pytest.raises(StudyError, match=r"train-labels-idx1-ubyte\.gz.*fails its checksum") as error:
        download.fetch("FashionMNIST", SPLITS, tmp_path)
    one_line(error)
    assert not (tmp_path / "FashionMNIST" / "raw" / damaged.name).exists()


def test_a_place_that_cannot_be_written_keeps_no_half_file(debian_files, tmp_path, monkeypatch):
    def refuse(source, target):
        assert Path(source).exists()
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(debian, "INSTALLED", debian_files)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        debian.place_fashion_mnist(tmp_path / "raw", FashionMNIST.resources)
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.fixture
def apt(debian_files, tmp_path, monkeypatch):
    """apt-get without package lists until it updates, and a dpkg-deb that unpacks ``debian_files``."""
    tools = tmp_path / "tools"
    tools.mkdir()
    state = tmp_path / "lists"
    scripts = {
        "apt-get": f"""for word in "$@"; do case $word in
            update) : > '{state}';;
            download) [ -e '{state}' ] || {{ echo 'E: Unable to locate package' >&2; exit 100; }}
                      : > dataset-fashion-mnist_1_all.deb;;
            esac; done""",
        "dpkg-deb": f"""[ "$1" = -x ] && [ -e "$2" ] || exit 2
            /bin/mkdir -p "$3{tmp_path}" && /bin/cp -r '{debian_files}' "$3{tmp_path}/not installed" """,
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    return state


def test_fashion_mnist_comes_from_the_downloaded_package(apt, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert download.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    assert apt.exists()


def test_package_lists_are_refreshed_by_root_only(apt, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StudyError, match="Unable to locate package.*put by hand") as error:
        download.fetch("FashionMNIST", SPLITS, tmp_path)
    one_line(error)
    assert not apt.exists()


def test_a_package_tool_that_hangs_is_given_up(apt, tmp_path, monkeypatch):
    (tmp_path / "tools" / "apt-get").write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    monkeypatch.setattr(debian, "_DOWNLOAD_SECONDS", 0.2)
    monkeypatch.setattr(debian, "_UPDATE_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(StudyError, match=r"apt-get \w+ gave no result in 0.2 s"):
        debian.place_fashion_mnist(tmp_path / "raw", FashionMNIST.resources)
    assert time.monotonic() - started < 60


def test_the_real_package_restores_the_published_archives(tmp_path):
    if not debian.INSTALLED.is_dir() and not shutil.which("apt-get"):
        pytest.skip(f"neither {debian.INSTALLED} nor apt-get is here")
    try:
        debian.place_fashion_mnist(tmp_path, FashionMNIST.resources)
    except StudyError as error:
        if "checksum" in str(error):
            raise
        pytest.skip(f"Debian's package cannot be had: {error}")
    assert {path.name: md5(path) for path in tmp_path.iterdir()} == dict(FashionMNIST.resources)
