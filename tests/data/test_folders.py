"""Which pictures a user's folder has: each real file once, hidden ones never, and one line where it cannot be used."""

import os

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image
from small_datasets import one_line
from tokengeometry.data import download, folders, splits
from tokengeometry.errors import StudyError

OWN = ["cats/a.png", "cats/b.png", "dogs/c.png"]


def opened(root, **arguments):
    """Relative paths of the images of an ImageFolder."""
    split = splits.open_split("ImageFolder", {"root": str(root), **arguments}, ".")
    return [os.path.relpath(path, root) for path, _ in split.samples]


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path, "png")


def test_the_order_is_torchvisions(tmp_path):
    for name in ("b/x/2.PNG", "b/1.png", "b-c/1.png", "b/x-y/0.jpg", "B/z.webp", "b/10.png", "b/x/y/1.png", "b/9.png"):
        draw(tmp_path / name)
    (tmp_path / "b/notes.txt").touch()
    (tmp_path / "top.png").touch()
    known = torchvision.datasets.ImageFolder(tmp_path)
    split = splits.open_split("ImageFolder", {"root": str(tmp_path)}, ".")
    assert split.samples == known.samples
    assert split.class_to_idx == known.class_to_idx
    assert folders.EXTENSIONS == torchvision.datasets.folder.IMG_EXTENSIONS


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [(".png", OWN), ([".png", ".gif"], [*OWN, "dogs/d.gif"]), (".gif", ["dogs/d.gif"]), (None, OWN)],
)
def test_another_folder_class_takes_the_names_that_it_is_given(folder_of_images, extensions, expected):
    draw(folder_of_images / "dogs/d.gif")
    arguments = {"root": str(folder_of_images), "allow_empty": True} | (
        {"extensions": extensions} if extensions else {}
    )
    split = splits.open_split("DatasetFolder", arguments, ".")
    assert [os.path.relpath(path, folder_of_images) for path, _ in split.samples] == expected


HIDDEN = [".ipynb_checkpoints/a.png", "cats/.ipynb_checkpoints/a.png", "cats/._a.png", "__MACOSX/cats/._a.png"]


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden_is_left_out_and_said(folder_of_images, caplog, name):
    draw(folder_of_images / name)
    assert opened(folder_of_images) == OWN
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        f"left out 1 hidden {'files' if name == 'cats/._a.png' else 'folders'}"
    ]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("cats/loop", ".."),
        ("loop", "."),
        ("a_second_name", "dogs"),
        ("cats/of_dogs", "../dogs"),
        ("cats/aa.png", "b.png"),
        ("cats/0_of_dogs.png", "../dogs/c.png"),
    ],
)
def test_a_link_does_not_count_a_picture_twice(folder_of_images, caplog, link, target):
    (folder_of_images / link).symlink_to(target)
    assert opened(folder_of_images) == OWN
    assert "another name here" in caplog.text


def test_two_names_of_one_file_are_one_picture(folder_of_images, caplog):
    os.link(folder_of_images / "dogs/c.png", folder_of_images / "dogs/d.png")
    assert opened(folder_of_images) == OWN
    assert "left out 1 files that have another name here" in caplog.text


def test_links_to_elsewhere_are_followed_each_once(folder_of_images, tmp_path):
    draw(tmp_path / "elsewhere/d.png")
    (tmp_path / "elsewhere/back").symlink_to(folder_of_images)
    (folder_of_images / "linked").symlink_to("../elsewhere")
    (folder_of_images / "dogs/again").symlink_to("../../elsewhere")
    (folder_of_images / "dogs/e.png").symlink_to("../../elsewhere/d.png")
    assert opened(folder_of_images) == [*OWN, "dogs/again/d.png"]


def test_nothing_is_left_out_of_a_plain_folder(folder_of_images, caplog):
    assert opened(folder_of_images) == OWN
    assert caplog.text == ""


@pytest.mark.parametrize("target", ["nowhere.png", "x.png"])
def test_a_link_that_leads_nowhere_is_named(folder_of_images, target):
    (folder_of_images / "cats/x.png").symlink_to(target)
    with pytest.raises(StudyError, match=r"cats/x\.png is a link that leads nowhere") as error:
        opened(folder_of_images)
    one_line(error)


def test_what_is_no_file_is_not_waited_for(folder_of_images):
    os.mkfifo(folder_of_images / "cats/x.png")
    with pytest.raises(StudyError, match=r"cats/x\.png is not a file"):
        opened(folder_of_images)


def test_a_class_folder_without_pictures_is_named(folder_of_images):
    (folder_of_images / "birds").mkdir()
    (folder_of_images / "birds/a.heic").touch()
    with pytest.raises(StudyError, match=r"photos/birds has no pictures.*\.png") as error:
        opened(folder_of_images)
    one_line(error)
    assert opened(folder_of_images, allow_empty=True) == OWN


def test_a_flat_folder_says_that_it_needs_class_folders_and_the_advice_works(tmp_path):
    flat = tmp_path / "flat"
    draw(flat / "a.png")
    (flat / ".ipynb_checkpoints").mkdir()
    with pytest.raises(StudyError, match=r"flat has no class folders: put its pictures into .*flat/all") as error:
        download.fetch("ImageFolder", {"some": {"root": str(flat)}}, tmp_path / "data")
    one_line(error)
    (flat / "all").mkdir()
    (flat / "a.png").rename(flat / "all/a.png")
    assert download.fetch("ImageFolder", {"some": {"root": str(flat)}}, tmp_path / "data") == {"some": 1}
