"""Data sets in their own formats, and everything that can be wrong with how they are named."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from small_datasets import SPLITS, md5, one_line, pixels, raw_tensors
from tokengeometry.data import download, splits
from tokengeometry.data.class_names import dataset_class_names, require_dataset_class
from tokengeometry.errors import StudyError

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
    assert download.fetch("CIFAR10", SPLITS, root) == {"train": 6, "test": 3}
    for split, arguments in SPLITS.items():
        dataset = splits.open_split("CIFAR10", arguments, root)
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
        splits.open_split("CIFAR10", {"train": False}, tmp_path)
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

    all_splits = {"train": {"split": "train"}, "test": {"split": "test"}, "more": {"split": "unlabeled"}}
    assert download.fetch("STL10", all_splits, tmp_path) == {"train": 2, "test": 2, "more": 1}
    dataset = splits.open_split("STL10", {"split": "test"}, tmp_path)
    np.testing.assert_array_equal(pixels(dataset, 1), images[1])

    damaged = bytearray((folder / "test_X.bin").read_bytes())
    damaged[1000] ^= 1
    (folder / "test_X.bin").write_bytes(damaged)
    with pytest.raises(StudyError, match=r"test_X\.bin fails its checksum"):
        splits.open_split("STL10", {"split": "test"}, tmp_path)


def test_fashion_mnist_archives_put_by_hand_are_unpacked_and_read(idx_archives, placed, tmp_path):
    assert download.fetch("FashionMNIST", SPLITS, tmp_path) == {"train": 4, "test": 3}
    for split, arguments in SPLITS.items():
        grey = idx_archives[1][split][1]
        dataset = splits.open_split("FashionMNIST", arguments, tmp_path)
        np.testing.assert_array_equal(raw_tensors(dataset, [1])[0], np.stack([grey] * 3))


def test_image_folder_is_read_below_its_own_root(folder_of_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"root": "photos"}
    counts = download.fetch("ImageFolder", {"all": arguments}, tmp_path / "elsewhere")
    assert counts == {"all": 3}
    dataset = splits.open_split("ImageFolder", arguments, tmp_path / "elsewhere")
    expected = np.asarray(Image.open(folder_of_images / "dogs" / "c.png"))
    np.testing.assert_array_equal(pixels(dataset, 2), expected)


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
    dataset = splits.open_split("ImageFolder", {"root": str(folder_of_images)}, ".")
    images = splits.Images(dataset, np.array([3, 0]), splits.transform(model))
    batch = next(iter(torch.utils.data.DataLoader(images, batch_size=2)))
    assert batch.shape == (2, 3, 28, 42)
    assert batch.dtype == torch.float32
    white = torch.tensor([(1 - m) / s for m, s in zip(model["mean"], model["std"], strict=True)])
    torch.testing.assert_close(batch[0], white[:, None, None].expand(3, 28, 42))


# The subset


def test_more_samples_keep_the_earlier_ones():
    larger = splits.subset(1000, 300, seed=5)
    assert larger.dtype == np.int64
    np.testing.assert_array_equal(splits.subset(1000, 100, seed=5), larger[:100])
    assert len(set(larger)) == 300
    assert set(splits.subset(50, 50, seed=5)) == set(range(50))
    assert (splits.subset(1000, 300, seed=6) != larger).any()


@pytest.mark.parametrize("samples", [11, 0, -1])
def test_an_impossible_number_of_samples_names_both_numbers(samples):
    with pytest.raises(StudyError, match=rf"{samples}\b.*\b10\b"):
        splits.subset(10, samples, seed=0)


# Names and arguments


def test_class_names_are_those_of_torchvision_and_need_no_import():
    code = (
        "import sys, tokengeometry.data.class_names as c; print(*c.dataset_class_names()); "
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(splits.__file__).parents[2])}
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
        download.fetch("Cifar10", {"test": {}}, ".")


@pytest.mark.parametrize("name", ["VisionDataset", "LSUN", "wrap_dataset_for_transforms_v2", "utils"])
def test_what_is_no_usable_class_is_refused(name):
    with pytest.raises(StudyError, match=name):
        splits.open_split(name, {}, ".")


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
        download.fetch(class_name, {"some": arguments}, tmp_path)
    one_line(error)


def test_arguments_of_every_split_are_checked_before_the_first_is_fetched(idx_archives, tmp_path):
    with pytest.raises(StudyError, match="'tarin'"):
        download.fetch("FashionMNIST", {"train": {}, "test": {"tarin": False}}, tmp_path)
    assert not (tmp_path / "FashionMNIST").exists()


def test_a_class_without_images_is_refused(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((20, 1, 64, 64), np.uint8))
    (tmp_path / "MovingMNIST").mkdir()
    (tmp_path / "mnist_test_seq.npy").rename(tmp_path / "MovingMNIST" / "mnist_test_seq.npy")
    with pytest.raises(StudyError, match="MovingMNIST yields Tensor, not images"):
        download.fetch("MovingMNIST", {"all": {}}, tmp_path)


def test_a_class_without_a_root_is_opened(tmp_path):
    assert download.fetch("FakeData", {"all": {"size": 3}}, tmp_path) == {"all": 3}
