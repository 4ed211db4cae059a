"""Published files of data sets, in small: archives, folders, and a mirror that serves them."""

import hashlib
import http.server
import os
import shutil
import struct
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image
from tokengeometry.data import debian


@pytest.fixture
def idx_archives(tmp_path, monkeypatch, rng):
    """A small Fashion-MNIST as gzip itself packs it: folder of the archives, images by split."""
    folder = tmp_path / "published"
    folder.mkdir()
    images = {"train": rng.integers(0, 256, (4, 28, 28), np.uint8), "t10k": None}
    images["t10k"] = rng.integers(0, 256, (3, 28, 28), np.uint8)
    resources = []
    for name, modified in debian._MODIFIED.items():
        split, kind = name.split("-")[:2]
        if kind == "images":
            content = struct.pack(">4B3i", 0, 0, 8, 3, *images[split].shape) + images[split].tobytes()
        else:
            content = struct.pack(">4Bi", 0, 0, 8, 1, len(images[split])) + bytes(len(images[split]))
        plain = folder / name.removesuffix(".gz")
        plain.write_bytes(content)
        os.utime(plain, (modified, modified))
        subprocess.run(["gzip", plain], check=True)
        resources.append((name, hashlib.md5((folder / name).read_bytes()).hexdigest()))
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.resources", resources)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(debian, "INSTALLED", tmp_path / "not installed")
    monkeypatch.setenv("PATH", str(tmp_path / "no tools"))
    return folder, {"train": images["train"], "test": images["t10k"]}


@pytest.fixture
def placed(idx_archives, tmp_path):
    """The archives put by hand where torchvision looks for them."""
    raw = tmp_path / "FashionMNIST" / "raw"
    shutil.copytree(idx_archives[0], raw)
    return raw


@pytest.fixture
def folder_of_images(tmp_path, rng):
    root = tmp_path / "photos"
    (root / "cats").mkdir(parents=True)
    (root / "dogs").mkdir()
    for name in ("cats/a.png", "cats/b.png", "dogs/c.png"):
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(root / name)
    return root


@pytest.fixture
def mirror(tmp_path):
    """A mirror on this machine that serves the folder ``tmp_path/mirror``."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
