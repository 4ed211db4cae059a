"""A file may have any name: what is said of it is one line, in every log and on every terminal."""

import os
import re
import shutil
import sys

import pytest
import torch
from small_datasets import one_line
from tokengeometry.data import splits
from tokengeometry.errors import StudyError, explain, printable
from tokengeometry.operations.logs import log_to
from torchvision.transforms.functional import pil_to_tensor
from tqdm import tqdm

# A name on disk, and how it is to be said.
NAMES = {
    b"caf\xe9.png": r"caf\xe9.png",
    b"two\nlines.png": r"two\nlines.png",
    b"\x1b[31mred\r.png": r"\x1b[31mred\r.png",
    b"two  spaces.png": "two  spaces.png",
    "café α.png".encode(): "café α.png",
    "left\u202eright\u2028.png".encode(): r"left\u202eright\u2028.png",
}


@pytest.fixture(params=NAMES)
def broken(request, folder_of_images):
    """The data set with a broken picture at index 0, and how its name is to be said."""
    for path in (folder_of_images / "cats").iterdir():
        path.unlink()
    with open(os.path.join(os.fsencode(folder_of_images), b"cats", request.param), "wb") as file:
        file.write(b"no picture")
    split = splits.open_split("ImageFolder", {"root": str(folder_of_images)}, ".")
    return splits.Images(split, [0], pil_to_tensor), f"{folder_of_images}/cats/{NAMES[request.param]}"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_is_one_line_whatever_its_name(broken, tmp_path, workers):
    images, name = broken
    log = tmp_path / "log"
    with pytest.raises(SystemExit), log_to(log):
        next(iter(torch.utils.data.DataLoader(images, num_workers=workers)))
    (said,) = log.read_text(encoding="utf-8").splitlines()
    assert said.startswith(f"error: {name} cannot be read as an image: ")


def test_errors_of_the_system_say_any_name():
    error = PermissionError(13, "Permission denied", os.fsdecode(b"two\nlines \xff"))
    assert explain(error).startswith(r"two\nlines \xff: permission denied; ")


def test_a_message_is_the_same_however_often_it_is_handed_on():
    message = str(StudyError("a\\b\nc"))
    assert message == r"a\b\nc"
    assert str(StudyError(message)) == message
    assert printable(message) == message


def test_any_text_goes_into_a_log(tmp_path):
    with log_to(tmp_path / "log"):
        print(os.fsdecode(b"caf\xe9"), "α")
        print(os.fsdecode(b"caf\xe9"), file=sys.stderr)
    assert (tmp_path / "log").read_bytes() == "caf\\udce9 α\ncaf\\udce9\n".encode()


def test_an_error_has_a_line_of_its_own_after_a_bar(tmp_path):
    bars = []

    def fail():
        bars.append(tqdm(total=10, mininterval=0))
        bars[0].update(3)
        raise StudyError("something is wrong")

    with pytest.raises(SystemExit), log_to(tmp_path / "log"):
        fail()
    assert (tmp_path / "log").read_text().splitlines()[-1] == "error: something is wrong"


def test_the_run_ends_with_that_line_where_the_locale_knows_no_such_letters(small_workflow):
    folder = small_workflow.directory / "pictures" / "class_0"
    with open(os.path.join(os.fsencode(folder), b"00\n\xe9.png"), "wb") as file:
        file.write(b"no picture")
    process = small_workflow.run("results/data/pictures/splits/test.json", check=False, environment={"LC_ALL": "C"})
    assert process.returncode != 0
    said = re.findall(r"^ *(error: .*)$", process.stdout, re.MULTILINE)
    # From the job's log, and the run's last words.
    assert len(said) == 2
    assert said[0].startswith(r"error: pictures/class_0/00\n\xe9.png cannot be read as an image: ")
    assert r"pictures/class_0/00\n\xe9.png cannot be read as an image: " in said[1]
    assert "Traceback" not in process.stdout


def test_a_folder_whose_pictures_have_such_names_is_read(folder_of_images):
    for name in NAMES:
        shutil.copy(folder_of_images / "dogs/c.png", os.path.join(os.fsencode(folder_of_images), b"cats", name))
    split = splits.open_split("ImageFolder", {"root": str(folder_of_images)}, ".")
    assert len([splits.Images(split, range(len(split)), pil_to_tensor)[i] for i in range(len(split))]) == 9


def test_a_left_out_file_of_such_a_folder_is_said_in_one_line(folder_of_images, tmp_path, caplog):
    root = folder_of_images.rename(tmp_path / "two\nlines")
    (root / "cats/.hidden.png").touch()
    splits.open_split("ImageFolder", {"root": str(root)}, ".")
    (said,) = caplog.messages
    assert said.splitlines() == [rf"{tmp_path}/two\nlines: left out 1 hidden files"]
    shutil.rmtree(root)
    with pytest.raises(StudyError, match=r"two\\nlines does not exist") as error:
        splits.open_split("ImageFolder", {"root": str(root)}, ".")
    one_line(error)
