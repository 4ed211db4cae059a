"""Images come to a job in batches, in order, by threads alone."""

import inspect
import os
import re
import shutil
import subprocess
import threading
from collections import Counter

import numpy as np
import psutil
import pytest
import torch
import torchvision.datasets
from PIL import Image
from small_datasets import one_line
from small_study import REPOSITORY, SMALL, Workflow
from tokengeometry.data import splits
from tokengeometry.data.class_names import dataset_class_names
from tokengeometry.errors import StudyError
from tokengeometry.storage import zarr_store

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = {
    "image_size": [28, 28],
    "in_chans": 3,
    "mean": [0.5, 0.25, 0.0],
    "std": [0.5, 0.25, 0.125],
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
}
FAKES = {"size": 40, "image_size": [3, 50, 60]}


@pytest.fixture
def pictures(tmp_path, rng):
    """A folder of 40 pictures."""
    (tmp_path / "pictures" / "some").mkdir(parents=True)
    for index in range(40):
        picture = Image.fromarray(rng.integers(0, 256, (30 + index, 50, 3), np.uint8))
        picture.save(tmp_path / "pictures" / "some" / f"{index:02d}.png")
    return tmp_path / "pictures"


@pytest.fixture
def split(pictures):
    return splits.open_split("ImageFolder", {"root": str(pictures)}, ".")


def load(split, samples, batch_size, workers):
    return splits.batches(split, samples, MODEL, batch_size=batch_size, workers=workers)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("class_name", ["ImageFolder", "FakeData"])
def test_batches_are_the_images_one_by_one_whatever_the_threads(pictures, class_name, workers):
    arguments = {"root": str(pictures)} if class_name == "ImageFolder" else FAKES
    split = splits.open_split(class_name, arguments, ".")
    samples = np.random.default_rng(1).permutation(40)[:37]
    one_by_one = torch.stack([splits.transform(MODEL)(split[int(sample)][0]) for sample in samples])
    for _ in range(1 if class_name == "ImageFolder" else 10):
        found = list(load(split, samples, 4, workers))
        assert [len(batch) for batch in found] == [4] * 9 + [1]
        assert {batch.dtype for batch in found} == {torch.float32}
        assert torch.equal(torch.cat(found), one_by_one)


def test_batches_load_beside_their_taker_with_a_bounded_number_ahead(split, monkeypatch):
    asked, names = Counter(), set()
    image_at = splits.image_at

    def counting(dataset, index):
        asked[index] += 1
        names.add(threading.current_thread().name)
        return image_at(dataset, index)

    monkeypatch.setattr(splits, "image_at", counting)
    for workers in (1, 3):
        asked.clear()
        names.clear()
        for taken, _ in enumerate(load(split, range(40), 2, workers)):
            assert len(asked) <= 2 * (taken + 1 + workers + 1)
        assert set(asked.values()) == {1}
        assert threading.current_thread().name not in names


def test_no_process_and_no_shared_memory_is_used(split):
    def held():
        with open("/proc/self/maps") as maps:
            return {line.split()[-1] for line in maps if "/dev/shm" in line or "/torch_" in line}

    children, shared = set(psutil.Process().children(recursive=True)), held()
    for _ in load(split, range(40), 3, 2):
        assert set(psutil.Process().children(recursive=True)) <= children
        assert held() == shared


@pytest.mark.parametrize("workers", [1, 2])
def test_an_image_that_cannot_be_read_is_named_at_once_and_the_threads_end(pictures, split, workers, monkeypatch):
    broken = pictures / "some" / "09.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    asked, image_at = [], splits.image_at
    monkeypatch.setattr(splits, "image_at", lambda *arguments: asked.append(1) or image_at(*arguments))
    threads, taken = set(threading.enumerate()), []
    with pytest.raises(StudyError) as error:
        taken.extend(load(split, range(40), 2, workers))
    assert one_line(error).startswith(f"{broken} cannot be read as an image: ")
    assert sum(map(len, taken)) == 8
    assert len(asked) <= 2 * (5 + workers + 1)
    assert set(threading.enumerate()) <= threads


def test_threads_end_with_batches_that_are_not_all_taken(split):
    threads = set(threading.enumerate())
    batches = load(split, range(40), 2, 2)
    next(batches)
    assert set(threading.enumerate()) - threads
    batches.close()
    assert set(threading.enumerate()) <= threads


# What a class has in common with itself: a generator of random numbers, a file that stays open or that is counted.
SHARED = re.compile(r"\b(manual_seed|set_rng_state|h5py|lmdb|seek)\b")


def test_classes_of_torchvision_that_share_something_give_one_image_at_a_time():
    def code(name):
        ancestors = inspect.getmro(getattr(torchvision.datasets, name))
        of_images = [cls for cls in ancestors if cls.__module__.startswith("torchvision.datasets.")]
        return "".join(inspect.getsource(cls) for cls in of_images)

    found = {name for name in dataset_class_names() if SHARED.search(code(name))}
    assert found == set(splits.ONE_AT_A_TIME)


def test_files_of_a_folder_are_read_side_by_side(split):
    together, loader = threading.Barrier(2), split.loader

    def load_two(path):
        together.wait(20)
        return loader(path)

    split.loader = load_two
    assert sum(map(len, load(split, range(40), 1, 2))) == 40


def test_a_class_that_is_not_torchvisions_gives_one_image_at_a_time():
    class Alone:
        lock = threading.Lock()

        def __getitem__(self, index):
            assert self.lock.acquire(blocking=False)
            image = Image.new("RGB", (400, 400)).resize((300, 300))
            self.lock.release()
            return image, 0

    assert sum(map(len, load(Alone(), range(40), 2, 4))) == 40


def test_a_job_needs_no_shared_memory_no_short_tmpdir_and_no_forking(finished, tmp_path):
    folder = finished.copy(tmp_path / "study")
    workflow = Workflow(folder, SMALL)
    target = "results/tiny/pictures/test/activations/layer_00/part_000.zarr"
    expected = zarr_store.open_store(folder / target)["activations"][:]
    shutil.rmtree(folder / target)
    temporary = tmp_path / ("long" * 30)
    temporary.mkdir()
    command, without = workflow.command(target), ["unshare", "--mount"]
    if shutil.which("unshare") and not subprocess.run([*without, "true"], stderr=subprocess.DEVNULL).returncode:
        unusable = 'mount -t tmpfs -o ro,size=4k tmpfs /dev/shm && exec "$@"'
        command = [*without, "sh", "-c", unusable, "sh", *command]
    process = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY / "tests" / "spawning")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout
    np.testing.assert_array_equal(zarr_store.open_store(folder / target)["activations"][:], expected)
