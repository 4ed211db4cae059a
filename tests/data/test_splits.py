"""A split is known by its images: whatever it is made of changes, it is not taken for the one it was."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from small_datasets import SPLITS, one_line
from tokengeometry.data import download, split_identity, splits
from tokengeometry.errors import StudyError


def described(root, folder, class_name="ImageFolder"):
    """The description of a split in a folder, as the job that fetches it writes it."""
    arguments = {"root": str(root)}
    made = split_identity.describe(splits.open_split(class_name, arguments, "."), class_name, arguments, root)
    path = folder / "data/pictures/splits/test.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))
    return path


def reopened(description, root):
    return splits.open_described(description, "ImageFolder", {"root": str(root)}, None)


def add(root):
    shutil.copy(root / "cats/a.png", root / "cats/new.png")


def add_below(root):
    (root / "cats/more").mkdir()
    shutil.copy(root / "cats/a.png", root / "cats/more/new.png")


def remove(root):
    (root / "cats/a.png").unlink()


def rename(root):
    (root / "cats/a.png").rename(root / "cats/z.png")


def move(root):
    (root / "cats/a.png").rename(root / "dogs/a.png")


def replace(root):
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save(root / "cats/a.png")


CHANGES = {
    add: "3 images then, 4 now",
    add_below: "3 images then, 4 now",
    remove: "3 images then, 2 now",
    rename: "3 images, but not the same",
    move: "3 images, but not the same",
    replace: "3 images, but not the same",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changed_is_refused_and_the_advice_works(folder_of_images, tmp_path, change):
    kept = shutil.copytree(folder_of_images, tmp_path / "kept")
    description = described(folder_of_images, tmp_path)
    assert len(reopened(description, folder_of_images)) == 3
    change(folder_of_images)
    with pytest.raises(StudyError) as error:
        reopened(description, folder_of_images)
    message = one_line(error)
    assert message.startswith(f"{folder_of_images} has changed")
    assert CHANGES[change] in message
    assert f"delete {description} and run again" in message
    # What it says: describe it anew, or put it back.
    described(folder_of_images, tmp_path)
    reopened(description, folder_of_images)
    shutil.rmtree(folder_of_images)
    shutil.copytree(kept, folder_of_images)
    with pytest.raises(StudyError, match="has changed"):
        reopened(description, folder_of_images)
    described(folder_of_images, tmp_path)
    reopened(description, folder_of_images)


def test_a_link_to_another_folder_is_a_change(folder_of_images, tmp_path):
    other = shutil.copytree(folder_of_images, tmp_path / "other")
    add(other)
    root = tmp_path / "link"
    root.symlink_to("photos")
    description = described(root, tmp_path)
    root.unlink()
    root.symlink_to("other")
    with pytest.raises(StudyError, match="has changed"):
        reopened(description, root)


def test_what_is_no_image_and_another_place_are_no_change(folder_of_images, tmp_path, monkeypatch):
    description = described(folder_of_images, tmp_path)
    (folder_of_images / "cats/notes.txt").touch()
    (folder_of_images / "cats/.ipynb_checkpoints").mkdir()
    shutil.copy(folder_of_images / "cats/a.png", folder_of_images / "cats/.ipynb_checkpoints/a.png")
    os.utime(folder_of_images / "cats/a.png")
    reopened(description, folder_of_images)
    moved = folder_of_images.rename(tmp_path / "moved")
    reopened(description, moved)
    monkeypatch.chdir(moved)
    reopened(description, ".")


def test_a_description_of_an_earlier_version_says_how_to_go_on(folder_of_images, tmp_path):
    description = described(folder_of_images, tmp_path)
    made = json.loads(description.read_text())
    del made["identity"]
    description.write_text(json.dumps(made))
    with pytest.raises(StudyError, match=r"earlier version.*delete it and run again") as error:
        reopened(description, folder_of_images)
    assert str(description) in one_line(error)


def test_loading_processes_see_the_images_of_the_description(folder_of_images, tmp_path):
    """They get the split as it was compared, and list no folder again."""
    description = described(folder_of_images, tmp_path)
    split = reopened(description, folder_of_images)
    # Sorted before all others: another folder now, with another image at every index.
    shutil.copy(folder_of_images / "cats/a.png", folder_of_images / "cats/0.png")
    images = splits.Images(split, [0, 1, 2], torchvision.transforms.functional.pil_to_tensor)
    alone = [images[index] for index in range(3)]
    for context in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(images, batch_size=None, num_workers=2, multiprocessing_context=context)
        for found, expected in zip(loader, alone, strict=True):
            torch.testing.assert_close(found, expected)


def test_images_in_memory_are_known_by_their_pixels(idx_archives, placed, tmp_path):
    download.fetch("FashionMNIST", SPLITS, tmp_path)
    train, test = (splits.open_split("FashionMNIST", arguments, tmp_path) for arguments in SPLITS.values())
    before = split_identity.identity_of(train, tmp_path)
    assert before != split_identity.identity_of(test, tmp_path)
    assert before == split_identity.identity_of(splits.open_split("FashionMNIST", SPLITS["train"], tmp_path), tmp_path)
    train.data[2, 3, 4] += 1
    assert split_identity.identity_of(train, tmp_path) != before


def test_arrays_in_another_order_of_axes_are_known_by_their_values(rng):
    class Transposed:
        data = rng.integers(0, 256, (5, 4, 3), np.uint8).transpose(2, 0, 1)

        def __len__(self):
            return len(self.data)

    class Copied(Transposed):
        data = Transposed.data.copy()

    assert split_identity.identity_of(Transposed(), "x") == split_identity.identity_of(Copied(), "x")


@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: (str(path), 0), lambda path: [path, path]])
@pytest.mark.parametrize("attribute", ["_samples", "imgs", "images", "_images", "_image_files", "_image_list"])
def test_listed_files_of_any_class_are_known_by_name_and_size(folder_of_images, attribute, form):
    class Listing:
        def __len__(self):
            return 2

    dataset = Listing()
    paths = [folder_of_images / "cats/a.png", folder_of_images / "cats/b.png"]
    setattr(dataset, attribute, [form(path) for path in paths])
    before = split_identity.identity_of(dataset, folder_of_images)
    setattr(dataset, attribute, [form(path) for path in reversed(paths)])
    assert split_identity.identity_of(dataset, folder_of_images) != before
    setattr(dataset, attribute, [form(path) for path in paths])
    assert split_identity.identity_of(dataset, folder_of_images) == before
    paths[0].write_bytes(paths[0].read_bytes() + b"x")
    assert split_identity.identity_of(dataset, folder_of_images) != before
    paths[0].unlink()
    with pytest.raises(StudyError, match=r"cats/a\.png is missing"):
        split_identity.identity_of(dataset, folder_of_images)


def test_a_class_without_files_is_known_by_its_number_of_images():
    few, more = (splits.open_split("FakeData", {"size": size}, ".") for size in (3, 4))
    assert split_identity.identity_of(few, ".") != split_identity.identity_of(more, ".")
