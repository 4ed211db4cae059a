"""What is wrong with a data set is said before any job, without torch: signatures, folders, growth."""

import copy
import inspect
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image
from small_datasets import one_line
from small_study import SMALL, Workflow
from tokengeometry.data import split_identity, splits, torchvision_classes
from tokengeometry.data.checks import check_datasets_before_run
from tokengeometry.data.class_names import dataset_class_names
from tokengeometry.data.signatures import parameters_of
from tokengeometry.errors import StudyError


def imported_parameters(dataset_class):
    """What Python itself says of a constructor, and of its bases' as far as it hands arguments on."""
    found = {}
    for ancestor in dataset_class.__mro__:
        if "__init__" in vars(ancestor):
            own = list(inspect.signature(ancestor.__init__).parameters.values())[1:]
            for parameter in own:
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                    found.setdefault(parameter.name, parameter)
            if all(parameter.kind != parameter.VAR_KEYWORD for parameter in own):
                break
    return found


@pytest.mark.parametrize("name", dataset_class_names())
def test_a_signature_read_from_the_source_is_that_of_the_class(name):
    known = imported_parameters(getattr(torchvision.datasets, name))
    read = parameters_of(name)
    assert list(read) == list(known)
    for argument, parameter in known.items():
        assert read[argument].required == (parameter.default is inspect.Parameter.empty)
        for kind in (bool, int, str):
            assert (read[argument].annotation == kind.__name__) == (parameter.annotation in (kind, kind.__name__))


# These two ask for packages before they look at a value.
LISTED = [
    (name, argument)
    for name in dataset_class_names()
    for argument, parameter in parameters_of(name).items()
    if parameter.values and name not in ("PCAM", "Kinetics")
]


@pytest.mark.parametrize(("name", "argument"), LISTED)
def test_listed_values_are_those_that_torchvision_itself_says(tmp_path, name, argument):
    cls = getattr(torchvision.datasets, name)
    arguments = {argument: "nonsense"}
    if "root" in parameters_of(name):
        arguments["root"] = str(tmp_path)
    with pytest.raises(ValueError, match="nonsense") as error:
        cls(**arguments)
    said = re.findall(r"'([^']*)'", str(error.value).split("Valid values are")[1])
    assert set(parameters_of(name)[argument].values) == set(said)


def test_most_classes_with_a_split_list_its_values():
    assert len(LISTED) > 25


def study(class_name, arguments, **settings):
    config = copy.deepcopy(SMALL)
    config["datasets"] = {"pictures": {"class": class_name, "splits": {"test": {"arguments": arguments}}} | settings}
    return config


@pytest.mark.parametrize(
    ("class_name", "arguments", "said"),
    [
        ("CIFAR10", {"trian": True}, r"'trian'.*did you mean 'train'"),
        ("CIFAR10", {"train": "no"}, r"'train' is 'no'.*bool"),
        ("STL10", {"split": "validation"}, r"'validation'.*'split': use train, train\+unlabeled, unlabeled, test"),
        ("EMNIST", {}, "needs an argument 'split'"),
        ("ImageFolder", {}, "needs an argument 'root'"),
        ("ImageFolder", {"root": "nowhere"}, r"{folder}/nowhere does not exist: name the folder"),
        ("ImageFolder", {"root": "file"}, r"{folder}/file is a file"),
        ("ImageFolder", {"root": "flat"}, r"flat has no class folders: put its pictures into .* flat/all"),
        ("DatasetFolder", {"root": "flat", "extensions": [".png"]}, "flat has no class folders"),
        ("Cityscapes", {"root": "nowhere"}, r"{folder}/nowhere is no folder: name the one with the files of Citys"),
        ("CIFAR10", {"root": "nowhere"}, r"nowhere is no folder: .* of CIFAR10, or leave root out to have them down"),
    ],
)
def test_a_data_set_that_cannot_be_opened_is_one_line_before_the_run(
    tmp_path, monkeypatch, class_name, arguments, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "flat").mkdir()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save("flat/a.png")
    with pytest.raises(StudyError, match=said.replace("{folder}", str(tmp_path))) as error:
        check_datasets_before_run(study(class_name, arguments), "results")
    assert one_line(error).startswith("datasets.pictures.splits.test: ")
    assert os.listdir(tmp_path / "flat") == ["a.png"]


@pytest.mark.parametrize(
    ("class_name", "arguments"),
    [
        ("ImageFolder", {"root": "photos"}),
        ("CIFAR10", {"train": False}),
        ("FakeData", {"size": 30}),
    ],
)
def test_one_that_can_be_opened_or_fetched_passes(folder_of_images, tmp_path, monkeypatch, class_name, arguments):
    monkeypatch.chdir(tmp_path)
    check_datasets_before_run(study(class_name, arguments), "results")


@pytest.fixture
def described_study(folder_of_images, tmp_path, monkeypatch):
    """A study of the three images of `photos`, described."""
    monkeypatch.chdir(tmp_path)
    arguments = {"root": "photos"}
    split = splits.open_split("ImageFolder", arguments, ".")
    description = tmp_path / "results/data/pictures/splits/test.json"
    description.parent.mkdir(parents=True)
    root = torchvision_classes.folder_of(arguments, ".")
    description.write_text(json.dumps(split_identity.describe(split, "ImageFolder", arguments, root)))
    return study("ImageFolder", arguments)


def test_more_samples_than_a_grown_folder_had_say_that_it_has_changed(described_study, tmp_path):
    for index in range(10):
        shutil.copy("photos/cats/a.png", f"photos/cats/new_{index}.png")
    with pytest.raises(StudyError) as error:
        check_datasets_before_run(described_study | {"samples": 12}, "results")
    message = one_line(error)
    assert "photos has changed since its images were first read (3 images then, 13 now)" in message
    assert "delete results/data/pictures/splits/test.json and run again" in message
    check_datasets_before_run(described_study | {"samples": 3}, "results")
    (tmp_path / "results/data/pictures/splits/test.json").unlink()
    check_datasets_before_run(described_study | {"samples": 12}, "results")


def test_more_samples_than_other_files_of_the_users_had_say_what_to_do_if_there_are_more(tmp_path):
    description = tmp_path / "data/pictures/splits/test.json"
    description.parent.mkdir(parents=True)
    arguments = {"root": "flickr", "ann_file": "flickr.html"}
    description.write_text(json.dumps({"class": "Flickr8k", "arguments": arguments, "images": 30}))
    config = study("Flickr8k", arguments)
    check_datasets_before_run(config | {"samples": 30}, tmp_path)
    with pytest.raises(StudyError, match=rf"samples is 40, more than the 30 .*delete {description} and run") as error:
        check_datasets_before_run(config | {"samples": 40}, tmp_path)
    one_line(error)


def test_pictures_that_are_gone_after_the_study_are_not_asked_for(described_study):
    shutil.rmtree("photos")
    check_datasets_before_run(described_study | {"samples": 3}, "results")


def test_nothing_of_it_imports_torch():
    code = (
        "import sys, tokengeometry.data.checks; sys.exit({'torch', 'torchvision', 'numpy'} & set(sys.modules) != set())"
    )
    environment = os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_a_dry_run_says_it_in_one_line(small_workflow):
    small_workflow.configure(study("ImageFolder", {"root": "pictures/class_0"}))
    process = small_workflow.run("--dry-run", check=False)
    assert process.returncode == 1
    lines = [line for line in process.stdout.splitlines() if line and not line.startswith("Using ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: datasets.pictures.splits.test: pictures/class_0 has no class folders")
