"""Fetching the files of torchvision's data set classes: the only code of theirs that needs the network."""

import contextlib
import fcntl
import http.client
import logging
import os
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torchvision.datasets.utils import calculate_md5

from tokengeometry.data.checksums import Archive, archives_of, damaged_idx_files, is_verified_when_opened
from tokengeometry.data.debian import place_fashion_mnist
from tokengeometry.data.images import image_at
from tokengeometry.data.journal import journal, undo
from tokengeometry.data.signatures import check_arguments, parameters_of
from tokengeometry.data.splits import open_split
from tokengeometry.data.torchvision_classes import ABSENT, class_named, construct, folder_of
from tokengeometry.errors import StudyError, in_one_line

_LOG = logging.getLogger(__name__)

_UNREACHABLE = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


def fetch(
    class_name: str,
    arguments_by_split: Mapping[str, Mapping],
    root: str | Path,
    timeout: float = 10.0,
    white: float | None = None,
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
    white
        As of ``open_split``.

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
    dataset_class = class_named(class_name)
    for arguments in arguments_by_split.values():
        check_arguments(class_name, arguments)
    counts = {}
    with _alone_in(_written(dataset_class, arguments_by_split.values(), root)):
        for split, arguments in arguments_by_split.items():
            dataset = _present(dataset_class, arguments, root, timeout, white)
            if len(dataset) == 0:
                raise StudyError(f"{class_name}: split {split!r} has no images")
            image_at(dataset, 0)
            counts[split] = len(dataset)
    return counts


def _written(dataset_class: type, arguments_of_splits: Iterable[Mapping], root: str | Path) -> list[Path]:
    """The folders that other processes may write at the same time, in one order for all of them."""
    folders = {Path(root).resolve()}
    if _needs_journal(dataset_class):
        # Several data sets may have the same folder of the user's.
        folders.update(folder_of(arguments, root).resolve() for arguments in arguments_of_splits)
    return sorted(folders)


@contextlib.contextmanager
def _alone_in(folders: Sequence[Path]) -> Iterator[None]:
    """Wait for other processes that fetch into the same folders: splits share their archives."""
    with contextlib.ExitStack() as locks:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            # Where nothing can be written, nothing will be unpacked either.
            if os.access(folder, os.W_OK):
                fcntl.flock(locks.enter_context((folder / ".lock").open("w")), fcntl.LOCK_EX)
        yield


def _needs_journal(dataset_class: type) -> bool:
    return "download" in parameters_of(dataset_class.__name__) and not is_verified_when_opened(dataset_class)


def _present(
    dataset_class: type, arguments: Mapping, root: str | Path, timeout: float, white: float | None
) -> torch.utils.data.Dataset:
    """The split, opened where its files are there and downloaded where they are not."""
    name = dataset_class.__name__
    folder = folder_of(arguments, root)
    is_users = "root" in arguments
    undo(folder, is_users)
    # Unpacking is not atomic: a killed one leaves half a file that torchvision would take as whole.
    for path in damaged_idx_files(dataset_class, folder):
        path.unlink()
    if "download" not in parameters_of(dataset_class.__name__):
        return open_split(name, arguments, root, white)
    with contextlib.suppress(*ABSENT):
        return construct(dataset_class, arguments, root, download=False, white=white)

    folder.mkdir(parents=True, exist_ok=True)
    archives = archives_of(dataset_class, arguments, folder)
    journalled = journal(folder, is_users) if _needs_journal(dataset_class) else contextlib.nullcontext()
    try:
        _require_answer(archives, timeout)
        with _socket_timeout(timeout), journalled:
            return construct(dataset_class, arguments, root, download=True, white=white)
    except (*_UNREACHABLE, *ABSENT) as error:
        reason = f"the download failed ({_line(error)})"
        cause = error

    if name == "FashionMNIST":
        _LOG.warning("%s: %s; trying Debian's package", name, reason)
        try:
            place_fashion_mnist(archives[0].path.parent, dataset_class.resources)
            return construct(dataset_class, arguments, root, download=True, white=white)
        except StudyError as error:
            reason += f", and so did Debian's package ({error})"
            cause = error
    unmet = [_instruction(archive) for archive in archives if not archive.is_verified()]
    if unmet:
        raise StudyError(f"{name}: {reason}; put by hand: {', '.join(unmet)}") from cause
    raise StudyError(
        f"{name}: {reason}; put the files that torchvision documents for it in {folder.absolute()}"
    ) from cause


def _instruction(archive: Archive) -> str:
    found = f", not {calculate_md5(archive.path)} as found there" if archive.path.is_file() else ""
    return f"{archive.path.absolute()} (md5 {archive.md5}{found})"


def _require_answer(archives: list[Archive], timeout: float) -> None:
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


def _line(error: Exception) -> str:
    return in_one_line(error.reason if isinstance(error, urllib.error.URLError) else error)
