"""The pictures of a user's folder with a folder for each class, as ImageFolder takes them.

Each real file counts once. Light on purpose: no module of this one's needs torch.
"""

import errno
import heapq
import os
import stat
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tokengeometry.errors import StudyError

# Those of torchvision.datasets.ImageFolder.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class Pictures(NamedTuple):
    """Pictures in torchvision's order, each as (path, class), and how many of what was left out, by kind."""

    files: list[tuple[str, str]]
    left_out: Counter[str]


def class_folders(root):
    """Names of the folders in a folder, sorted, but for hidden ones.

    Raises
    ------
    StudyError
        There are none, or no folder to look into.
    """
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if _is_folder(entry) and not _is_hidden(entry.name))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is a file" if isinstance(error, NotADirectoryError) else "does not exist"
        place = Path(root).absolute()
        raise StudyError(f"{place} {what}: name the folder with a folder of pictures for each class") from error
    if not names:
        raise StudyError(
            f"{root} has no class folders: put its pictures into a folder in it, such as {Path(root, 'all')}, "
            "or into one for each class"
        )
    return names


def pictures(root, extensions=None, *, allow_empty=False):
    """The pictures below a folder's class folders, in torchvision's order: by class, folder and name.

    Left out are hidden folders and files (`.ipynb_checkpoints`, `._picture.png`, `__MACOSX`), and what would
    count a picture twice: a folder or file that is another one's by a link. Of two names the one without a link
    is taken, else the first.

    Parameters
    ----------
    root : path
        The folder of the class folders.
    extensions : str or sequence of str
        How a picture's name ends, in lower case; by default `EXTENSIONS`.
    allow_empty : bool
        Whether a class folder may be without pictures.

    Raises
    ------
    StudyError
        No class folders, or one without pictures; a link that leads nowhere, a picture that is no file.
    """
    root = os.fspath(root)
    endings = (extensions,) if isinstance(extensions, str) else tuple(extensions or EXTENSIONS)
    empty = set(class_folders(root))
    left_out, found = Counter(), []
    folders, links, seen = [root], [], set()
    while folders or links:
        # What is reached without a link goes by that name.
        folder = folders.pop() if folders else heapq.heappop(links)
        class_name = None if folder == root else Path(folder).relative_to(root).parts[0]
        if _is_seen(os.stat(folder), seen):
            left_out["folders that have another name here"] += 1
            empty.discard(class_name)
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                is_picture = class_name is not None and entry.name.lower().endswith(endings)
                if _is_folder(entry):
                    if _is_hidden(entry.name):
                        left_out["hidden folders"] += 1
                    elif entry.is_symlink():
                        heapq.heappush(links, entry.path)
                    else:
                        folders.append(entry.path)
                elif is_picture and _is_hidden(entry.name):
                    left_out["hidden files"] += 1
                elif is_picture:
                    found.append((entry.is_symlink(), class_name, folder, entry.name, _file_status(entry)))
                    empty.discard(class_name)
    if empty and not allow_empty:
        raise StudyError(
            f"{Path(root, min(empty))} has no pictures (the names of pictures end in {', '.join(endings)}): "
            "add some, or remove this folder"
        )
    kept, seen = [], set()
    for _, class_name, folder, name, status in sorted(found, key=lambda picture: picture[:4]):
        if _is_seen(status, seen):
            left_out["files that have another name here"] += 1
        else:
            kept.append((class_name, folder, name))
    return Pictures([(os.path.join(folder, name), class_name) for class_name, folder, name in sorted(kept)], left_out)


def _is_hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def _file_status(entry):
    try:
        status = entry.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        raise StudyError(f"{entry.path} is a link that leads nowhere: mend it or remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise StudyError(f"{entry.path} is not a file: remove it")
    return status


def _is_seen(status, seen):
    """Whether a real file or folder was seen before; from now on it was. Some network file systems number none."""
    key = status.st_dev, status.st_ino
    if key in seen:
        return status.st_ino != 0
    seen.add(key)
    return False
