"""The files that torchvision downloads, and whether what is there is what was published."""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import torchvision.datasets
from torchvision.datasets.utils import check_integrity


class Archive(NamedTuple):
    """A file that torchvision downloads: its place, its md5, and where from."""

    path: Path
    md5: str
    urls: list[str]

    def is_verified(self):
        """Whether the file is there with its checksum."""
        return check_integrity(self.path, self.md5)


def archives_of(dataset_class, arguments, folder):
    """What torchvision downloads for a class; empty where the class doesn't list it.

    Parameters
    ----------
    dataset_class : type
        A class of torchvision.datasets.
    arguments : dict
        Keyword arguments of its constructor for the split.
    folder : path
        Its `root`.
    """
    if _is_idx(dataset_class):
        raw = folder / dataset_class.__name__ / "raw"
        return [
            Archive(raw / name, md5, [mirror + name for mirror in dataset_class.mirrors])
            for name, md5 in dataset_class.resources
        ]
    if hasattr(dataset_class, "tgz_md5"):
        path = folder / dataset_class.filename
        return [Archive(path, dataset_class.tgz_md5, [dataset_class.url])]
    if isinstance(getattr(dataset_class, "split_list", None), dict):
        split = arguments.get("split", "train" if arguments.get("train", True) else "test")
        url, name, md5 = dataset_class.split_list[split]
        return [Archive(folder / name, md5, [url])]
    return []


def is_verified_when_opened(dataset_class):
    """Whether damage to a class's unpacked files is found by their checksums whenever it is opened.

    Of other classes torchvision sees only that something is there.
    """
    return _is_idx(dataset_class) or hasattr(dataset_class, "tgz_md5") or dataset_class is torchvision.datasets.SVHN


def _is_idx(dataset_class):
    mnist = torchvision.datasets.MNIST
    return issubclass(dataset_class, mnist) and dataset_class.download is mnist.download


def damaged_idx_files(dataset_class, folder):
    """Unpacked files of the MNIST family that differ from the archives beside them.

    torchvision verifies the archives only, and takes any unpacked file there is. An unpacked file
    without its archive is the user's, and there is nothing to compare it with.
    """
    if not _is_idx(dataset_class):
        return
    for archive in archives_of(dataset_class, {}, folder):
        unpacked = archive.path.with_suffix("")
        if not (archive.path.is_file() and unpacked.is_file()):
            continue
        crc, size = struct.unpack("<II", archive.path.read_bytes()[-8:].rjust(8, b"\0"))
        content = unpacked.read_bytes()
        if not archive.is_verified() or (zlib.crc32(content), len(content)) != (crc, size):
            yield unpacked


def unverified(dataset_class, folder):
    """Says which file of a class with listed checksums is missing or fails its own, if any."""
    if not hasattr(dataset_class, "tgz_md5"):
        return ""
    listed = [*dataset_class.train_list, *dataset_class.test_list]
    if hasattr(dataset_class, "meta"):
        listed.append((dataset_class.meta["filename"], dataset_class.meta["md5"]))
    for name, md5 in listed:
        path = folder / dataset_class.base_folder / name
        if not path.is_file():
            return f"{path} is missing"
        if not check_integrity(path, md5):
            return f"{path} fails its checksum (md5 {md5})"
    return ""
