"""Data sets in their own formats, images of every mode, and everything that can be wrong with them."""

import contextlib
import gzip
import hashlib
import http.server
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from tokengeometry import datasets, debian
from tokengeometry.catalogue import dataset_class_names, require_dataset_class
from tokengeometry.errors import StudyError
from torchvision.transforms.functional import pil_to_tensor

FashionMNIST = torchvision.datasets.FashionMNIST
SPLITS = {"train": {"train": True}, "test": {"train": False}}


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def pixels(dataset, index):
    return np.asarray(dataset[index][0])


def raw_tensors(dataset, indices):
    """(sample, channel, height, width) uint8 of the RGB images that the study's transform gets."""
    images = datasets.Images(dataset, indices, pil_to_tensor)
    return torch.stack([images[i] for i in range(len(images))]).numpy()


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# CIFAR-10, STL-10, Fashion-MNIST and image folders, each written in its own format


@pytest.fixture
def cifar10(tmp_path, monkeypatch, rng):
    """Folder with small CIFAR-10 batches, and the images of both splits, uint8 (image, row, column, rgb)."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images = {"train": [], "test": []}
    listed = {"train": [], "test": []}
    for split, names in {"train": ["data_batch_1", "data_batch_2"], "test": ["test_batch"]}.items():
        for name in names:
            batch = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
            rows = batch.transpose(0, 3, 1, 2).reshape(3, -1)
            content = {"data": rows, "labels": [0, 1, 0]}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
            images[split].extend(batch)
            listed[split].append([name, md5(folder / name)])
    meta = folder / "batches.meta"
    meta.write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}, protocol=2))
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", listed["train"])
    monkeypatch.setattr(cls, "test_list", listed["test"])
    monkeypatch.setattr(cls, "meta", {"filename": meta.name, "key": "label_names", "md5": md5(meta)})
    return tmp_path, images


def test_cifar10_batches_are_read(cifar10):
    root, images = cifar10
    assert datasets.fetch("CIFAR10", SPLITS, root) == {"train": 6, "test": 3}
    for split, arguments in SPLITS.items():
        dataset = datasets.open_split("CIFAR10", arguments, root)
        np.testing.assert_array_equal(
            raw_tensors(dataset, [2, 0]), np.stack([images[split][2], images[split][0]]).transpose(0, 3, 1, 2)
        )


def test_a_pickle_that_fails_its_checksum_is_not_executed(cifar10, tmp_path):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    batch = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    batch.write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(StudyError) as error:
        datasets.open_split("CIFAR10", {"train": False}, tmp_path)
    assert str(batch) in one_line(error)
    assert not (tmp_path / "executed").exists()


def test_stl10_binaries_are_read(tmp_path, monkeypatch, rng):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = rng.integers(0, 256, (2, 96, 96, 3), np.uint8)
    for split in ("train", "test"):
        # Column-major in each channel, labels from 1.
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes([1, 10]))
    (folder / "unlabeled_X.bin").write_bytes(images[:1].transpose(0, 3, 2, 1).tobytes())
    for attribute in ("train_list", "test_list"):
        names = [name for name, _ in getattr(torchvision.datasets.STL10, attribute)]
        listed = [[name, md5(folder / name)] for name in names]
        monkeypatch.setattr(torchvision.datasets.STL10, attribute, listed)

    splits = {"train": {"split": "train"}, "test": {"split": "test"}, "more": {"split": "unlabeled"}}
    assert datasets.fetch("STL10", splits, tmp_path) == {"train": 2, "test": 2, "more": 1}
    dataset = datasets.open_split("STL10", {"split": "test"}, tmp_path)
    np.testing.assert_array_equal(pixels(dataset, 1), images[1])

    damaged = bytearray((folder / "test_X.bin").read_bytes())
    damaged[1000] ^= 1
    (folder / "test_X.bin").write_bytes(damaged)
    with pytest.raises(StudyError, match=r"test_X\.bin fails its checksum"):
        datasets.open_split("STL10", {"split": "test"}, tmp_path)


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
        resources.append((name, md5(folder / name)))
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(debian, "INSTALLED", tmp_path / "not installed")
    monkeypatch.setenv("PATH", str(tmp_path / "no tools"))
    return folder, {"train": images["train"], "test": images["t10k"]}


@pytest.fixture
def placed(idx_archives, tmp_path):
    """The archives put by hand where torchvision looks for them."""
    raw = tmp_path / "FashionMNIST" / "raw"
    shutil.copytree(idx_archives[0], raw)
    return raw


def test_fashion_mnist_archives_put_by_hand_are_unpacked_and_read(idx_archives, placed, tmp_path):
    assert datasets.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    for split, arguments in SPLITS.items():
        grey = idx_archives[1][split][1]
        dataset = datasets.open_split("FashionMNIST", arguments, tmp_path)
        np.testing.assert_array_equal(raw_tensors(dataset, [1])[0], np.stack([grey] * 3))


@pytest.fixture
def folder_of_images(tmp_path, rng):
    root = tmp_path / "photos"
    (root / "cats").mkdir(parents=True)
    (root / "dogs").mkdir()
    for name in ("cats/a.png", "cats/b.png", "dogs/c.png"):
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(root / name)
    return root


def test_image_folder_is_read_below_its_own_root(folder_of_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"root": "photos"}
    counts = datasets.fetch("ImageFolder", {"all": arguments}, tmp_path / "elsewhere")
    assert counts == {"all": 3}
    dataset = datasets.open_split("ImageFolder", arguments, tmp_path / "elsewhere")
    expected = np.asarray(Image.open(folder_of_images / "dogs" / "c.png"))
    np.testing.assert_array_equal(pixels(dataset, 2), expected)


# Images of every mode


def rgb(path):
    """The (row, column, rgb) uint8 pixels that the study gets of an image file."""
    dataset = datasets.open_split("ImageFolder", {"root": str(path.parent.parent)}, ".")
    index = [sample for sample, _ in dataset.samples].index(str(path))
    return raw_tensors(dataset, [index])[0].transpose(1, 2, 0)


@pytest.fixture
def image_file(tmp_path):
    (tmp_path / "images" / "some").mkdir(parents=True)
    return lambda name: tmp_path / "images" / "some" / name


@pytest.mark.parametrize(
    ("mode", "name", "value", "expected"),
    [
        ("1", "bit.png", 1, (255, 255, 255)),
        ("L", "grey.png", 77, (77, 77, 77)),
        ("LA", "grey-alpha.png", (77, 128), (77, 77, 77)),
        ("RGB", "colour.png", (1, 2, 3), (1, 2, 3)),
        ("RGBA", "alpha.png", (10, 20, 30, 128), (10, 20, 30)),
        ("CMYK", "print.tif", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", "black.tif", (0, 0, 0, 255), (0, 0, 0)),
        ("F", "unit.tif", 0.4, (102, 102, 102)),
        ("F", "bytes.tif", 200.4, (200, 200, 200)),
        ("I", "int.tif", 257 * 99, (99, 99, 99)),
    ],
)
def test_every_mode_becomes_rgb(image_file, mode, name, value, expected):
    Image.new(mode, (5, 4), value).save(image_file(name))
    with Image.open(image_file(name)) as saved:
        assert saved.mode == mode
    found = rgb(image_file(name))
    assert found.shape == (4, 5, 3)
    assert (found == expected).all()


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"])
@pytest.mark.filterwarnings("error")
def test_palette_images_keep_their_colours(image_file, transparency):
    image = Image.new("P", (3, 1))
    colours = [(255, 0, 0), (0, 200, 0), (0, 0, 99)]
    image.putpalette([channel for colour in colours for channel in colour])
    for column in range(3):
        image.putpixel((column, 0), column)
    image.save(image_file("palette.png"), **({} if transparency is None else {"transparency": transparency}))
    with Image.open(image_file("palette.png")) as saved:
        assert saved.mode == "P"
        assert ("transparency" in saved.info) == (transparency is not None)
    np.testing.assert_array_equal(rgb(image_file("palette.png"))[0], colours)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled_and_not_clipped(image_file, suffix):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    path = image_file(f"deep.{suffix}")
    if suffix == "pgm":
        path.write_bytes(b"P5 16 16 65535\n" + ramp.astype(">u2").tobytes())
    else:
        Image.fromarray(ramp).save(path)
    with Image.open(path) as saved:
        assert saved.mode.startswith("I")
    found = rgb(path)
    np.testing.assert_array_equal(found[..., 0], np.arange(256).reshape(16, 16))
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536]])
def test_a_32_bit_image_without_a_known_white_is_refused(image_file, values):
    Image.fromarray(np.array([values], np.int32)).save(image_file("wide.tif"))
    with pytest.raises(StudyError, match=r"wide\.tif.*0 to 65535"):
        rgb(image_file("wide.tif"))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_of_an_animation_is_taken(image_file, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = image_file(f"moving.{suffix}")
    frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
    with Image.open(path) as saved:
        assert saved.n_frames == 2
    if suffix == "gif":
        # torchvision lists no .gif; Pillow goes by the content.
        path = path.rename(path.with_suffix(".png"))
    assert (rgb(path) == (250, 0, 0)).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_a_truncated_image_is_named(image_file, rng, suffix, kept):
    path = image_file(f"cut.{suffix}")
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(StudyError) as error:
        rgb(path)
    assert str(path) in one_line(error)


def test_a_file_that_is_no_image_is_named_before_the_compute(image_file, tmp_path):
    image_file("notes.png").write_text("not an image")
    with pytest.raises(StudyError) as error:
        datasets.fetch("ImageFolder", {"all": {"root": str(tmp_path / "images")}}, tmp_path)
    assert str(image_file("notes.png")) in one_line(error)


class Opening:
    """A data set whose own code opens the files, as many of torchvision's do."""

    def __init__(self, path, listed):
        self.path = path
        if listed:
            self.samples = [(str(path), 0)]

    def __getitem__(self, index):
        return Image.open(self.path), 0


@pytest.mark.parametrize("listed", [True, False])
def test_a_broken_image_is_named_by_its_path_or_else_its_index(image_file, rng, listed):
    path = image_file("cut.png")
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(StudyError) as error:
        datasets.Images(Opening(path, listed), [0], pil_to_tensor)[0]
    assert (str(path) if listed else "image 0 of Opening") in one_line(error)


def test_images_of_any_size_become_the_models_input(folder_of_images):
    Image.new("L", (301, 17), 255).save(folder_of_images / "dogs" / "wide.png")
    model = {
        "image_size": [28, 42],
        "in_chans": 3,
        "mean": [0.5, 0.25, 0.0],
        "std": [0.5, 0.25, 0.125],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
    }
    dataset = datasets.open_split("ImageFolder", {"root": str(folder_of_images)}, ".")
    images = datasets.Images(dataset, np.array([3, 0]), datasets.transform(model))
    batch = next(iter(torch.utils.data.DataLoader(images, batch_size=2)))
    assert batch.shape == (2, 3, 28, 42)
    assert batch.dtype == torch.float32
    white = torch.tensor([(1 - m) / s for m, s in zip(model["mean"], model["std"], strict=True)])
    torch.testing.assert_close(batch[0], white[:, None, None].expand(3, 28, 42))


# The subset


def test_more_samples_keep_the_earlier_ones():
    larger = datasets.subset(1000, 300, seed=5)
    assert larger.dtype == np.int64
    np.testing.assert_array_equal(datasets.subset(1000, 100, seed=5), larger[:100])
    assert len(set(larger)) == 300
    assert set(datasets.subset(50, 50, seed=5)) == set(range(50))
    assert (datasets.subset(1000, 300, seed=6) != larger).any()


@pytest.mark.parametrize("samples", [11, 0, -1])
def test_an_impossible_number_of_samples_names_both_numbers(samples):
    with pytest.raises(StudyError, match=rf"{samples}\b.*\b10\b"):
        datasets.subset(10, samples, seed=0)


# Names and arguments


def test_class_names_are_those_of_torchvision_and_need_no_import():
    code = (
        "import sys, tokengeometry.catalogue as c; print(*c.dataset_class_names()); "
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(datasets.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    base = torchvision.datasets.VisionDataset
    exported = {name: getattr(torchvision.datasets, name) for name in torchvision.datasets.__all__}
    classes = {n for n, c in exported.items() if isinstance(c, type) and issubclass(c, base) and c != base}
    assert set(names) == classes - {"LSUN", "LSUNClass"}
    assert names == dataset_class_names()


def test_an_unknown_class_names_the_nearest():
    with pytest.raises(StudyError, match="FashionMNIST") as error:
        require_dataset_class("fashion_mnist")
    one_line(error)
    with pytest.raises(StudyError, match="CIFAR10"):
        datasets.fetch("Cifar10", {"test": {}}, ".")


@pytest.mark.parametrize("name", ["VisionDataset", "LSUN", "wrap_dataset_for_transforms_v2", "utils"])
def test_what_is_no_usable_class_is_refused(name):
    with pytest.raises(StudyError, match=name):
        datasets.open_split(name, {}, ".")


@pytest.mark.parametrize(
    ("class_name", "arguments", "said"),
    [
        ("CIFAR10", {"trian": True}, r"'trian'.*'train'.*root, train$"),
        ("CIFAR10", {"download": True}, r"'download'"),
        ("CIFAR10", {"train": "false"}, r"'train' is 'false'.*bool"),
        ("FakeData", {"size": "many"}, r"'size' is 'many'.*int"),
        ("ImageFolder", {"root": 5}, r"'root' is 5.*str"),
        ("STL10", {"split": "validation"}, r"validation.*split.*unlabeled"),
        ("EMNIST", {"train": True}, r"needs an argument 'split'"),
        ("EMNIST", {"split": "mnist", "train": "no"}, r"'train' is 'no'.*bool"),
        ("EMNIST", {"split": "mnist", "fold": 1}, r"'fold'.*root, split, train"),
        ("ImageFolder", {"root": "/no such folder"}, r"/no such folder"),
    ],
)
def test_wrong_arguments_say_what_would_be_right(tmp_path, class_name, arguments, said):
    with pytest.raises(StudyError, match=said) as error:
        datasets.fetch(class_name, {"some": arguments}, tmp_path)
    one_line(error)


def test_arguments_of_every_split_are_checked_before_the_first_is_fetched(idx_archives, tmp_path):
    with pytest.raises(StudyError, match="'tarin'"):
        datasets.fetch("FashionMNIST", {"train": {}, "test": {"tarin": False}}, tmp_path)
    assert not (tmp_path / "FashionMNIST").exists()


def test_a_class_without_images_is_refused(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((20, 1, 64, 64), np.uint8))
    (tmp_path / "MovingMNIST").mkdir()
    (tmp_path / "mnist_test_seq.npy").rename(tmp_path / "MovingMNIST" / "mnist_test_seq.npy")
    with pytest.raises(StudyError, match="MovingMNIST yields Tensor, not images"):
        datasets.fetch("MovingMNIST", {"all": {}}, tmp_path)


def test_a_class_without_a_root_is_opened(tmp_path):
    assert datasets.fetch("FakeData", {"all": {"size": 3}}, tmp_path) == {"all": 3}


# Downloads that fail


class SilentServer:
    """Accepts connections and never answers; the answering kind replies to HEAD and is silent after that.

    Hangs up after five quiet seconds, so that a client that would wait for ever fails its test.
    """

    def __init__(self, answers_head):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
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
            datasets.fetch("FashionMNIST", SPLITS, tmp_path, timeout=0.3)
    finally:
        server.close()
    assert time.monotonic() - started < 3
    assert server.requests == ([b"HEAD", b"GET"] if answers_head else [b"HEAD"])
    assert socket.getdefaulttimeout() == timeout_before
    message = one_line(error)
    for name, checksum in FashionMNIST.resources:
        assert f"{tmp_path / 'FashionMNIST' / 'raw' / name} (md5 {checksum})" in message


def test_a_missing_archive_is_named_with_its_place_and_checksum(tmp_path, monkeypatch):
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(StudyError) as error:
        datasets.fetch("CIFAR10", SPLITS, tmp_path)
    assert f"{tmp_path / 'cifar-10-python.tar.gz'} (md5 {cls.tgz_md5})" in one_line(error)


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


def test_torchvision_downloads_from_a_mirror_that_answers(idx_archives, mirror, tmp_path, monkeypatch):
    shutil.copytree(idx_archives[0], mirror[0], dirs_exist_ok=True)
    monkeypatch.setattr(FashionMNIST, "mirrors", [mirror[1]])
    assert datasets.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}


def test_a_download_that_fails_its_checksum_is_named(mirror, tmp_path, monkeypatch):
    (mirror[0] / "cifar-10-python.tar.gz").write_bytes(b"something else")
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "url", mirror[1] + "cifar-10-python.tar.gz")
    with pytest.raises(StudyError) as error:
        datasets.fetch("CIFAR10", SPLITS, tmp_path)
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
        datasets.fetch("CIFAR10", SPLITS, tmp_path)


# Damage after the download


def test_a_half_unpacked_file_is_unpacked_again(placed, tmp_path):
    counts = datasets.fetch("FashionMNIST", SPLITS, tmp_path)
    images = placed / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    assert datasets.fetch("FashionMNIST", SPLITS, tmp_path) == counts
    assert images.read_bytes() == whole


def test_a_flipped_bit_in_an_unpacked_file_is_found(placed, tmp_path):
    datasets.fetch("FashionMNIST", SPLITS, tmp_path)
    images = placed / "t10k-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[500] ^= 4
    images.write_bytes(content)
    with pytest.raises(StudyError) as error:
        datasets.open_split("FashionMNIST", {"train": False}, tmp_path)
    assert str(images) in one_line(error)


def test_a_corrupted_archive_is_refused_where_nothing_can_replace_it(placed, tmp_path):
    archive = placed / "t10k-images-idx3-ubyte.gz"
    archive.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(StudyError) as error:
        datasets.fetch("FashionMNIST", SPLITS, tmp_path)
    message = one_line(error)
    assert f"{archive} (md5" in message
    assert "train-images" not in message.split("put by hand")[1]


# Debian's package


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
    assert datasets.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    for published in idx_archives[0].iterdir():
        placed = tmp_path / "FashionMNIST" / "raw" / published.name
        assert placed.read_bytes() == published.read_bytes()
    assert not [p for p in (tmp_path / "FashionMNIST" / "raw").iterdir() if p.name.startswith(".")]


def test_a_corrupted_leftover_is_replaced_from_the_package(debian_files, placed, tmp_path, monkeypatch):
    archive = placed / "t10k-images-idx3-ubyte.gz"
    published = archive.read_bytes()
    archive.write_bytes(gzip.compress(b"something else"))
    monkeypatch.setattr(debian, "INSTALLED", debian_files)
    assert datasets.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    assert archive.read_bytes() == published


def test_a_damaged_package_is_refused(debian_files, tmp_path, monkeypatch):
    damaged = debian_files / "train-labels-idx1-ubyte.gz"
    content = bytearray(damaged.read_bytes())
    content[-9] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(debian, "INSTALLED", debian_files)
    with pytest.raises(StudyError, match=r"train-labels-idx1-ubyte\.gz.*fails its checksum") as error:
        datasets.fetch("FashionMNIST", SPLITS, tmp_path)
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
    assert datasets.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    assert apt.exists()


def test_package_lists_are_refreshed_by_root_only(apt, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StudyError, match="Unable to locate package.*put by hand") as error:
        datasets.fetch("FashionMNIST", SPLITS, tmp_path)
    one_line(error)
    assert not apt.exists()


def test_a_package_tool_that_hangs_is_given_up(apt, tmp_path, monkeypatch):
    (tmp_path / "tools" / "apt-get").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(debian, "_DOWNLOAD_SECONDS", 0.2)
    monkeypatch.setattr(debian, "_UPDATE_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(StudyError, match=r"apt-get \w+ gave no result in 0.2 s"):
        debian.place_fashion_mnist(tmp_path / "raw", FashionMNIST.resources)
    assert time.monotonic() - started < 5


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
