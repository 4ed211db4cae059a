"""Downloads that fail, and damage after the download."""

import contextlib
import gzip
import hashlib
import shutil
import socket
import threading
import time

import pytest
import torchvision.datasets
from small_datasets import SPLITS, FashionMNIST, md5, one_line
from tokengeometry.data import download, splits
from tokengeometry.errors import StudyError


class SilentServer:
    """Accepts connections and never answers; the answering kind replies to HEAD and is silent after that.

    Hangs up after thirty quiet seconds, so that a client that would wait for ever fails its test.
    """

    def __init__(self, answers_head):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.answers_head = answers_head
        self.requests = []
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                method = connection.recv(4096).split(b" ")[0]
                self.requests.append(method)
                if self.answers_head and method == b"HEAD":
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                    connection.close()
        self.close()

    def close(self):
        for opened in (self.listener, *self.connections):
            opened.close()


@pytest.mark.parametrize("answers_head", [False, True])
def test_a_silent_mirror_fails_in_time(idx_archives, tmp_path, monkeypatch, answers_head):
    server = SilentServer(answers_head)
    monkeypatch.setattr(FashionMNIST, "mirrors", [server.address])
    timeout_before = socket.getdefaulttimeout()
    started = time.monotonic()
    try:
        with pytest.raises(StudyError) as error:
            download.fetch("FashionMNIST", SPLITS, tmp_path, timeout=1.5)
    finally:
        server.close()
    assert time.monotonic() - started < 20
    assert server.requests == ([b"HEAD", b"GET"] if answers_head else [b"HEAD"])
    assert socket.getdefaulttimeout() == timeout_before
    message = one_line(error)
    for name, checksum in FashionMNIST.resources:
        assert f"{tmp_path / 'FashionMNIST' / 'raw' / name} (md5 {checksum})" in message


def test_a_missing_archive_is_named_with_its_place_and_checksum(tmp_path, monkeypatch):
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(StudyError) as error:
        download.fetch("CIFAR10", SPLITS, tmp_path)
    assert f"{tmp_path / 'cifar-10-python.tar.gz'} (md5 {cls.tgz_md5})" in one_line(error)


def test_torchvision_downloads_from_a_mirror_that_answers(idx_archives, mirror, tmp_path, monkeypatch):
    shutil.copytree(idx_archives[0], mirror[0], dirs_exist_ok=True)
    monkeypatch.setattr(FashionMNIST, "mirrors", [mirror[1]])
    assert download.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}


def test_a_download_that_fails_its_checksum_is_named(mirror, tmp_path, monkeypatch):
    (mirror[0] / "cifar-10-python.tar.gz").write_bytes(b"something else")
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "url", mirror[1] + "cifar-10-python.tar.gz")
    with pytest.raises(StudyError) as error:
        download.fetch("CIFAR10", SPLITS, tmp_path)
    found = hashlib.md5(b"something else").hexdigest()
    archive = tmp_path / "cifar-10-python.tar.gz"
    assert f"{archive} (md5 {cls.tgz_md5}, not {found} as found there)" in one_line(error)


def test_an_unknown_error_is_not_swallowed(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(b"verified, and now to be unpacked")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(archive))
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", full)
    with pytest.raises(OSError, match="No space left"):
        download.fetch("CIFAR10", SPLITS, tmp_path)


# Damage after the download


def test_a_half_unpacked_file_is_unpacked_again(placed, tmp_path):
    counts = download.fetch("FashionMNIST", SPLITS, tmp_path)
    images = placed / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    assert download.fetch("FashionMNIST", SPLITS, tmp_path) == counts
    assert images.read_bytes() == whole


def test_a_flipped_bit_in_an_unpacked_file_is_found(placed, tmp_path):
    download.fetch("FashionMNIST", SPLITS, tmp_path)
    images = placed / "t10k-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[500] ^= 4
    images.write_bytes(content)
    with pytest.raises(StudyError) as error:
        splits.open_split("FashionMNIST", {"train": False}, tmp_path)
    assert str(images) in one_line(error)


def test_a_corrupted_archive_is_refused_where_nothing_can_replace_it(placed, tmp_path):
    archive = placed / "t10k-images-idx3-ubyte.gz"
    archive.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(StudyError) as error:
        download.fetch("FashionMNIST", SPLITS, tmp_path)
    message = one_line(error)
    assert f"{archive} (md5" in message
    assert "train-images" not in message.split("put by hand")[1]
