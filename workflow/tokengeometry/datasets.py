"""Images of torchvision's data set classes: fetching, opening, choosing and preprocessing them.

A data set is a class of ``torchvision.datasets`` by name and, for each split, the keyword arguments
of its constructor. The workflow itself sets ``root`` (unless the user does), ``download``,
``loader`` and the transforms.
"""

import contextlib
import difflib
import fcntl
import http.client
import inspect
import logging
import os
import queue
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm.data
import torch
import torchvision.datasets
from PIL import Image
from torchvision.datasets.utils import calculate_md5, check_integrity

from .catalogue import require_dataset_class
from .debian import place_fashion_mnist
from .errors import StudyError

_LOG = logging.getLogger(__name__)

_OURS = {"download", "is_valid_file", "loader", "target_transform", "transform", "transforms"}
_UNREACHABLE = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)
_ABSENT = (RuntimeError, FileNotFoundError, NotADirectoryError, EOFError)
# What Pillow's decoders raise on broken files of its many formats.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def fetch(
    class_name: str,
    arguments_by_split: Mapping[str, Mapping],
    root: str | Path,
    timeout: float = 10.0,
) -> dict[str, int]:
    """Make the files of every split present and verified.

    Parameters
    ----------
    class_name
        A class of torchvision.datasets.
    arguments_by_split
        Keyword arguments of the constructor, by the name of the split.
    root
        Folder for the files of classes that take ``root`` and were given none.
    timeout
        Seconds to wait for a server's answer, and for each later piece of it.

    Returns
    -------
    Number of images of every split.

    Files already there are used. Otherwise torchvision downloads and verifies them; where the
    network fails, Fashion-MNIST comes from Debian's package, and torchvision verifies that too.
    The first image of every split is read, so that a class without images fails here.

    Raises
    ------
    StudyError
        Unknown class, wrong arguments, files that cannot be had or fail their checksum (the
        message names the file, its place and its checksum), a class that yields no images.
    """
    dataset_class = _class(class_name)
    for arguments in arguments_by_split.values():
        _check_arguments(dataset_class, arguments)
    counts = {}
    with _alone_in(Path(root)):
        for split, arguments in arguments_by_split.items():
            dataset = _present(dataset_class, arguments, root, timeout)
            if len(dataset) == 0:
                raise StudyError(f"{class_name}: split {split!r} has no images")
            _image(dataset, 0)
            counts[split] = len(dataset)
    return counts


def open_split(class_name: str, arguments: Mapping, root: str | Path) -> torch.utils.data.Dataset:
    """Open one split whose files are there, with PIL images and without any download.

    torchvision's constructors verify CIFAR's checksums before they load its pickles.

    Parameters
    ----------
    class_name
        A class of torchvision.datasets.
    arguments
        Keyword arguments of its constructor.
    root
        Folder of the files, unless ``arguments`` has a ``root``.

    Raises
    ------
    StudyError
        Unknown class, wrong arguments, missing or damaged files.
    """
    dataset_class = _class(class_name)
    _check_arguments(dataset_class, arguments)
    folder = _folder(arguments, root)
    for path in _damaged_idx_files(dataset_class, folder):
        raise StudyError(
            f"{path} fails its checksum in the archive beside it: delete both and fetch {class_name} again"
        )
    try:
        return _construct(dataset_class, arguments, root, download=False)
    except _ABSENT as error:
        unverified = _unverified(dataset_class, folder)
        what = f"{unverified}: fetch it again" if unverified else f"{folder}: {_line(error)}"
        raise StudyError(f"{class_name} cannot be opened: {what}") from error


def subset(size: int, samples: int, seed: int) -> np.ndarray:
    """Indices of a random subset of a split: a prefix of one seeded permutation of it.

    With the same seed a larger subset starts with the smaller one.

    Parameters
    ----------
    size
        Number of images in the split.
    samples
        Number of images wanted, 1 to ``size``.
    seed
        Seed of the permutation.

    Returns
    -------
    (samples,) int64, distinct indices below ``size``.

    Raises
    ------
    StudyError
        The split has fewer images than wanted.
    """
    if not 1 <= samples <= size:
        raise StudyError(f"samples is {samples}, but the split has {size} images: use 1 to {size}")
    return np.random.default_rng(seed).permutation(size)[:samples].astype(np.int64)


def transform(model: Mapping) -> Callable[[Image.Image], torch.Tensor]:
    """timm's own evaluation transform for a model.

    Parameters
    ----------
    model
        ``image_size`` [height, width] in pixels, ``in_chans``, ``mean`` and ``std`` (one for each
        channel), ``interpolation``, ``crop_pct`` and ``crop_mode``, as in model.json.

    Returns
    -------
    RGB image -> float32 (in_chans, height, width), normalised.
    """
    height, width = model["image_size"]
    return timm.data.create_transform(
        input_size=(model["in_chans"], height, width),
        is_training=False,
        interpolation=model["interpolation"],
        mean=tuple(model["mean"]),
        std=tuple(model["std"]),
        crop_pct=model["crop_pct"],
        crop_mode=model["crop_mode"],
    )


class Images(torch.utils.data.Dataset):
    """Preprocessed images of chosen samples.

    Parameters
    ----------
    dataset
        A split opened by ``open_split``.
    indices
        (sample,) indices into it.
    transform
        RGB image -> float32 (3, height, width).

    Item i is the float32 (3, height, width) tensor of sample ``indices[i]``. Images of any mode
    become RGB as in torchvision and timm, with transparency dropped, but 16-bit grey is scaled to
    8 bits, where Pillow would clip it; of animations the first frame is taken. An unreadable image
    is a StudyError that names its file, or else its index in the split.
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset,
        indices: Sequence[int],
        transform: Callable[[Image.Image], torch.Tensor],
    ):
        self.dataset = dataset
        self.indices = indices
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> torch.Tensor:
        return self.transform(_image(self.dataset, int(self.indices[item])))


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait for other processes that fetch into the same folder: splits share their archives."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Archive(NamedTuple):
    """A file that torchvision downloads: its place, its md5, and where from."""

    path: Path
    md5: str
    urls: list[str]

    def is_verified(self) -> bool:
        return check_integrity(self.path, self.md5)

    def instruction(self) -> str:
        found = f", not {calculate_md5(self.path)} as found there" if self.path.is_file() else ""
        return f"{self.path.absolute()} (md5 {self.md5}{found})"


def _class(class_name: str) -> type:
    require_dataset_class(class_name)
    return getattr(torchvision.datasets, class_name)


def _folder(arguments: Mapping, root: str | Path) -> Path:
    return Path(arguments.get("root", root)).expanduser()


def _parameters(dataset_class: type) -> dict[str, inspect.Parameter]:
    """Parameters of the constructor, with those it hands on to its base classes as ``**kwargs``."""
    parameters = {}
    for ancestor in dataset_class.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        own = list(inspect.signature(ancestor.__init__).parameters.values())[1:]
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                parameters.setdefault(parameter.name, parameter)
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in own):
            break
    return parameters


def _check_arguments(dataset_class: type, arguments: Mapping) -> None:
    name = dataset_class.__name__
    parameters = _parameters(dataset_class)
    accepted = [p for p in parameters if p not in _OURS and not p.startswith("_")]
    for argument, given in arguments.items():
        if argument not in accepted:
            nearest = difflib.get_close_matches(str(argument), accepted, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise StudyError(f"{name} takes no argument {argument!r}: {hint}it takes {', '.join(accepted)}")
        # torchvision takes any non-empty string, "false" too, for true.
        annotation = str if argument == "root" else parameters[argument].annotation
        for kind in (bool, int, str):
            if annotation in (kind, kind.__name__) and type(given) is not kind:
                raise StudyError(f"{name}: argument {argument!r} is {given!r}: it has to be a {kind.__name__}")
    for argument in accepted:
        required = parameters[argument].default is inspect.Parameter.empty
        if required and argument != "root" and argument not in arguments:
            raise StudyError(f"{name} needs an argument {argument!r}")


def _construct(dataset_class: type, arguments: Mapping, root: str | Path, download: bool):
    parameters = _parameters(dataset_class)
    ours = {"root": str(_folder(arguments, root)), "loader": _load, "download": download}
    keywords = dict(arguments) | {k: v for k, v in ours.items() if k in parameters}
    try:
        return dataset_class(**keywords)
    except ValueError as error:
        raise StudyError(f"{dataset_class.__name__} with {dict(arguments)}: {_line(error)}") from error
    except ModuleNotFoundError as error:
        raise StudyError(f"{dataset_class.__name__} needs the Python package {error.name!r}: install it") from error


def _present(dataset_class: type, arguments: Mapping, root: str | Path, timeout: float):
    """The split, opened where its files are there and downloaded where they are not."""
    name = dataset_class.__name__
    folder = _folder(arguments, root)
    # Unpacking is not atomic: a killed one leaves half a file that torchvision would take as whole.
    for path in _damaged_idx_files(dataset_class, folder):
        path.unlink()
    if "download" not in _parameters(dataset_class):
        return open_split(name, arguments, root)
    with contextlib.suppress(*_ABSENT):
        return _construct(dataset_class, arguments, root, download=False)

    folder.mkdir(parents=True, exist_ok=True)
    archives = _archives(dataset_class, arguments, folder)
    try:
        _require_answer(archives, timeout)
        with _socket_timeout(timeout):
            return _construct(dataset_class, arguments, root, download=True)
    except (*_UNREACHABLE, *_ABSENT) as error:
        reason = f"the download failed ({_line(error)})"
        cause = error

    if name == "FashionMNIST":
        _LOG.warning("%s: %s; trying Debian's package", name, reason)
        try:
            place_fashion_mnist(archives[0].path.parent, dataset_class.resources)
            return _construct(dataset_class, arguments, root, download=True)
        except StudyError as error:
            reason += f", and so did Debian's package ({error})"
            cause = error
    unmet = [archive.instruction() for archive in archives if not archive.is_verified()]
    if unmet:
        raise StudyError(f"{name}: {reason}; put by hand: {', '.join(unmet)}") from cause
    raise StudyError(
        f"{name}: {reason}; put the files that torchvision documents for it in {folder.absolute()}"
    ) from cause


def _archives(dataset_class: type, arguments: Mapping, folder: Path) -> list[_Archive]:
    """What torchvision downloads for a class; empty where the class doesn't list it."""
    if _is_idx(dataset_class):
        raw = folder / dataset_class.__name__ / "raw"
        return [
            _Archive(raw / name, md5, [mirror + name for mirror in dataset_class.mirrors])
            for name, md5 in dataset_class.resources
        ]
    if hasattr(dataset_class, "tgz_md5"):
        path = folder / dataset_class.filename
        return [_Archive(path, dataset_class.tgz_md5, [dataset_class.url])]
    if isinstance(getattr(dataset_class, "split_list", None), dict):
        split = arguments.get("split", "train" if arguments.get("train", True) else "test")
        url, name, md5 = dataset_class.split_list[split]
        return [_Archive(folder / name, md5, [url])]
    return []


def _is_idx(dataset_class: type) -> bool:
    mnist = torchvision.datasets.MNIST
    return issubclass(dataset_class, mnist) and dataset_class.download is mnist.download


def _damaged_idx_files(dataset_class: type, folder: Path) -> Iterator[Path]:
    """Unpacked files of the MNIST family that differ from the archives beside them.

    torchvision verifies the archives only, and takes any unpacked file there is. An unpacked file
    without its archive is the user's, and there is nothing to compare it with.
    """
    if not _is_idx(dataset_class):
        return
    for archive in _archives(dataset_class, {}, folder):
        unpacked = archive.path.with_suffix("")
        if not (archive.path.is_file() and unpacked.is_file()):
            continue
        crc, size = struct.unpack("<II", archive.path.read_bytes()[-8:].rjust(8, b"\0"))
        content = unpacked.read_bytes()
        if not archive.is_verified() or (zlib.crc32(content), len(content)) != (crc, size):
            yield unpacked


def _unverified(dataset_class: type, folder: Path) -> str:
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


def _require_answer(archives: list[_Archive], timeout: float) -> None:
    """Raise unless a server of the first archive to download answers in ``timeout`` seconds.

    A socket's timeout is not enough: it is for one address of a host that may have many, and name
    lookup knows none.
    """
    wanted = next((archive for archive in archives if not archive.is_verified()), None)
    if wanted is None:
        return
    answers: queue.Queue[Exception | None] = queue.Queue()

    def ask(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=timeout).close()
            answers.put(None)
        except urllib.error.HTTPError:
            answers.put(None)
        except Exception as error:
            answers.put(error)

    for url in wanted.urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    deadline = time.monotonic() + timeout
    for _ in wanted.urls:
        try:
            error = answers.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"no answer in {timeout:g} s from {wanted.urls[0]}") from None
        if error is None:
            return
    if isinstance(error, _UNREACHABLE):
        raise urllib.error.URLError(f"{wanted.urls[-1]}: {_line(error)}") from error
    raise error


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _load(path: str | os.PathLike) -> Image.Image:
    """The image of a file as RGB; torchvision's own loader clips 16-bit images."""
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            return _rgb(image)
    except _UNREADABLE as error:
        raise StudyError(f"{path} cannot be read as an image: {_line(error)}") from error


def _image(dataset: torch.utils.data.Dataset, index: int) -> Image.Image:
    try:
        sample = dataset[index]
        image = sample[0] if isinstance(sample, tuple) else sample
        if isinstance(image, Image.Image):
            return _rgb(image)
    except _UNREADABLE as error:
        raise StudyError(f"{_name(dataset, index)} cannot be read: {_line(error)}") from error
    raise StudyError(f"{type(dataset).__name__} yields {type(image).__name__}, not images: use an image data set")


def _name(dataset: torch.utils.data.Dataset, index: int) -> str:
    for attribute in ("samples", "imgs", "_samples"):
        samples = getattr(dataset, attribute, None)
        if samples is not None and isinstance(samples[index][0], (str, os.PathLike)):
            return str(samples[index][0])
    return f"image {index} of {type(dataset).__name__}"


def _rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as 8-bit RGB."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow opens some 16-bit files in the 32-bit mode I; wider values have no agreed white.
        plain = _grey(image, white=65535)
    elif image.mode == "F":
        pixels = np.asarray(image)
        plain = _grey(image, white=1.0 if pixels.max() <= 1 else 255.0)
    elif image.mode == "P" and "transparency" in image.info:
        plain = image.convert("RGBA")
    else:
        plain = image
    return plain.convert("RGB")


def _grey(image: Image.Image, white: float) -> Image.Image:
    pixels = np.asarray(image).astype(np.float64)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= white):
        raise ValueError(f"mode {image.mode} has values {low:g} to {high:g}, not 0 to {white:g}")
    return Image.fromarray(np.rint(pixels * (255 / white)).astype(np.uint8))


def _line(error: BaseException) -> str:
    said = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(said).split()) or type(error).__name__
