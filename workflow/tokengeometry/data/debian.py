"""Fashion-MNIST from Debian's package, for machines with no route to its mirrors.

The package carries the four original files, but Debian's build rewrites their gzip headers (it
drops the file name and changes the time stamp), so that their checksums differ from the published
ones. The deflate streams are untouched: with the original header put back, every file is the
published one, byte for byte.
"""

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from tokengeometry.errors import StudyError

PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")

# Seconds since 1970 in the gzip headers of the published files.
_MODIFIED = {
    "train-images-idx3-ubyte.gz": 1504176606,
    "train-labels-idx1-ubyte.gz": 1504176606,
    "t10k-images-idx3-ubyte.gz": 1504176627,
    "t10k-labels-idx1-ubyte.gz": 1504176627,
}

_CONNECT_SECONDS = 10
_UPDATE_SECONDS = 120
_DOWNLOAD_SECONDS = 300


def place_fashion_mnist(raw_folder, resources):
    """Put the original Fashion-MNIST archives into `raw_folder`.

    Parameters
    ----------
    raw_folder : path
        Where torchvision looks for them: `{root}/FashionMNIST/raw`.
    resources : iterable of (str, str)
        (file name, md5) of every archive, as in `torchvision.datasets.FashionMNIST.resources`.

    An archive that is there with the right checksum stays; any other content is replaced. The
    files come from the installed package or, without root, from `apt-get download`.

    Raises
    ------
    StudyError
        There is no such package to be had here, or one of its files is not the published one.
    """
    raw_folder = Path(raw_folder)
    wanted = [(name, md5) for name, md5 in resources if not _is(raw_folder / name, md5)]
    if not wanted:
        return
    if INSTALLED.is_dir():
        _place(INSTALLED, raw_folder, wanted)
        return
    with tempfile.TemporaryDirectory() as folder:
        package = _download(Path(folder))
        _run(["dpkg-deb", "-x", package.name, "unpacked"], package.parent, _DOWNLOAD_SECONDS)
        unpacked = package.parent / "unpacked" / INSTALLED.relative_to("/")
        _place(unpacked, raw_folder, wanted)


def original_header(content, name, modified):
    """The gzip file `content` with the header that gzip itself writes for a file.

    Parameters
    ----------
    content : bytes
        A gzip file with the shortest header: 10 bytes, no flags.
    name : str
        Name of the archive; the header stores it without its `.gz`.
    modified : int
        Time stamp, seconds since 1970.

    Raises
    ------
    StudyError
        `content` does not start with such a header.

    Source: RFC 1952, section 2.3.
    """
    if content[:4] != b"\x1f\x8b\x08\x00":
        raise StudyError(f"{name}: not a gzip file with a bare header")
    unix = b"\x00\x03"
    stored_name = name.removesuffix(".gz").encode() + b"\x00"
    return b"\x1f\x8b\x08\x08" + struct.pack("<I", modified) + unix + stored_name + content[10:]


def _place(source, raw_folder, wanted):
    raw_folder.mkdir(parents=True, exist_ok=True)
    for name, md5 in wanted:
        if not (source / name).is_file():
            raise StudyError(f"Debian's {PACKAGE} has no {name} in {source}")
        content = (source / name).read_bytes()
        if _md5(content) != md5 and name in _MODIFIED and content[:4] == b"\x1f\x8b\x08\x00":
            content = original_header(content, name, _MODIFIED[name])
        if _md5(content) != md5:
            raise StudyError(f"{name} of Debian's {PACKAGE} fails its checksum (md5 {md5})")
        part = raw_folder / f".{name}.part"
        try:
            part.write_bytes(content)
            os.replace(part, raw_folder / name)
        finally:
            part.unlink(missing_ok=True)


def _download(folder):
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise StudyError(f"no {tool} here to take Debian's {PACKAGE} from")
    apt = ["apt-get", "-q", "-o", "Acquire::Retries=0"]
    apt += ["-o", f"Acquire::http::Timeout={_CONNECT_SECONDS}"]
    apt += ["-o", f"Acquire::https::Timeout={_CONNECT_SECONDS}"]
    try:
        _run([*apt, "download", PACKAGE], folder, _DOWNLOAD_SECONDS)
    except StudyError:
        # Fresh images carry no package lists, and old lists name files that are gone.
        if os.geteuid() != 0:
            raise
        _run([*apt, "update"], folder, _UPDATE_SECONDS)
        _run([*apt, "download", PACKAGE], folder, _DOWNLOAD_SECONDS)
    packages = list(folder.glob(f"{PACKAGE}_*.deb"))
    if len(packages) != 1:
        raise StudyError(f"apt-get download {PACKAGE} left no package")
    return packages[0]


def _run(command, folder, seconds):
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    called = next(word for word in command[1:] if word in ("download", "update", "-x"))
    title = f"{command[0]} {called}"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"{title} gave no result in {seconds:g} s") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise StudyError(f"{title} failed: {' '.join(said[-1].split())}")


def _is(path, md5):
    return path.is_file() and _md5(path.read_bytes()) == md5


def _md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
