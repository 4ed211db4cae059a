"""Fetching the files of torchvision's data set classes: the only code of theirs that needs the network.

Many classes take an unpacked folder for whole because it is there. So they download into `download.partial` in the
data set's folder. Once torchvision has opened what is there it becomes `download`, and its files move to where they
belong; the next fetch ends a move that was cut short.
"""

import contextlib
import http.client
import logging
import os
import queue
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock
from torchvision.datasets.utils import calculate_md5

from tokengeometry.data.checksums import archives_of, damaged_idx_files, is_verified_when_opened
from tokengeometry.data.debian import place_fashion_mnist
from tokengeometry.data.images import image_at
from tokengeometry.data.signatures import check_arguments, parameters_of
from tokengeometry.data.splits import open_split
from tokengeometry.data.torchvision_classes import ABSENT, class_named, construct
from tokengeometry.errors import StudyError, in_one_line

_LOG = logging.getLogger(__name__)

PARTIAL = "download.partial"
WHOLE = "download"
# What else the workflow has in a data set's folder.
_OURS = {PARTIAL, WHOLE, ".lock", "splits"}

_UNREACHABLE = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


def fetch(class_name, arguments_by_split, root, timeout=10.0, white=None):
    """Make the files of every split present and verified.

    Parameters
    ----------
    class_name : str
        A class of torchvision.datasets.
    arguments_by_split : dict of str to dict
        Keyword arguments of the constructor, by the name of the split.
    root : path
        The data set's folder, for the files of classes that take `root` and were given none.
    timeout : float
        Seconds to wait for a server's answer, and for each later piece of it.
    white : float or None
        As of `open_split`.

    Returns
    -------
    dict of str to int
        Number of images of every split.

    Files already there are used; below a `root` of the arguments' own nothing else is done. Otherwise torchvision
    downloads and verifies them; where the network fails, Fashion-MNIST comes from Debian's package, and torchvision
    verifies that too.
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
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    # Splits, and studies, share what is in it.
    with FileLock(folder / ".lock"):
        for split, arguments in arguments_by_split.items():
            dataset = _present(dataset_class, arguments, folder, timeout, white)
            if len(dataset) == 0:
                raise StudyError(f"{class_name}: split {split!r} has no images")
            image_at(dataset, 0)
            counts[split] = len(dataset)
    return counts


def _present(dataset_class, arguments, folder, timeout, white):
    """The split, opened where its files are there and downloaded where they are not."""
    name = dataset_class.__name__
    if "root" in arguments or "download" not in parameters_of(name):
        return open_split(name, arguments, folder, white)
    _put_in_place(folder)
    # Unpacking is not atomic: a killed one leaves half a file that torchvision would take as whole.
    for path in damaged_idx_files(dataset_class, folder):
        path.unlink()
    with contextlib.suppress(*ABSENT):
        return construct(dataset_class, arguments, folder, download=False, white=white)

    archives = archives_of(dataset_class, arguments, folder)
    # What fails its checksum later is no danger, and archives stay for the next try.
    place_of = contextlib.nullcontext if is_verified_when_opened(dataset_class) else _whole_or_nothing
    try:
        _require_answer(archives, timeout)
        with _socket_timeout(timeout), place_of(folder) as place:
            construct(dataset_class, arguments, place, download=True)
        return construct(dataset_class, arguments, folder, download=False, white=white)
    except (*_UNREACHABLE, *ABSENT) as error:
        reason = f"the download failed ({_line(error)})"
        cause = error

    if name == "FashionMNIST":
        _LOG.warning("%s: %s; trying Debian's package", name, reason)
        try:
            place_fashion_mnist(archives[0].path.parent, dataset_class.resources)
            return construct(dataset_class, arguments, folder, download=True, white=white)
        except StudyError as error:
            reason += f", and so did Debian's package ({error})"
            cause = error
    unmet = [_instruction(archive) for archive in archives if not archive.is_verified()]
    if unmet:
        raise StudyError(f"{name}: {reason}; put by hand: {', '.join(unmet)}") from cause
    raise StudyError(
        f"{name}: {reason}; put the files that torchvision documents for it in {folder.absolute()}"
    ) from cause


@contextlib.contextmanager
def _whole_or_nothing(folder):
    """A place for the block to download to; what is whole at its end moves into the folder, after an error nothing."""
    partial = folder / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)

    def ignore(parent, names):
        return _OURS if Path(parent) == folder else ()

    # Archives that were put there by hand, and files of other splits.
    shutil.copytree(folder, partial, copy_function=_link, ignore=ignore)
    try:
        yield partial
        partial.replace(folder / WHOLE)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _put_in_place(folder)


def _link(source, target):
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        # Some file systems have no links.
        shutil.copy2(source, target)


def _put_in_place(folder):
    """Move a whole download to where torchvision looks for it."""
    whole = folder / WHOLE
    for parent, folders, files in os.walk(whole):
        place = folder / Path(parent).relative_to(whole)
        place.mkdir(exist_ok=True)
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*files, *links):
            # One of the folders may be a link to another disk.
            shutil.move(Path(parent, name), place / name)
    shutil.rmtree(whole, ignore_errors=True)


def _instruction(archive):
    found = f", not {calculate_md5(archive.path)} as found there" if archive.path.is_file() else ""
    return f"{archive.path.absolute()} (md5 {archive.md5}{found})"


def _require_answer(archives, timeout):
    """Raise unless a server of the first archive to download answers in `timeout` seconds.

    A socket's timeout is not enough: it is for one address of a host that may have many, and name
    lookup knows none.
    """
    wanted = next((archive for archive in archives if not archive.is_verified()), None)
    if wanted is None:
        return
    answers: queue.Queue[Exception | None] = queue.Queue()

    def ask(url):
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
def _socket_timeout(seconds):
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _line(error):
    return in_one_line(error.reason if isinstance(error, urllib.error.URLError) else error)
