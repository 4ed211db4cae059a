"""What is wrong with a study's models is one line before any job, and costs seconds once."""

import copy
import json
import os
import runpy
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from checkpoints import checkpoint
from small_study import SMALL, Workflow
from tokengeometry.errors import StudyError
from tokengeometry.model import checks, file_content
from tokengeometry.model.checks import check_models, find_contents, planned_content
from tokengeometry.model.file_content import known_sha256, sha256_of

WRONG = {
    "architecture: resnet50": ({"architecture": "resnet50"}, "architecture: 'resnet50' is not supported; it must be"),
    "a misspelt name": ({"architecture": "vit_tinny_patch16_224"}, "architecture: .* vit_tiny_patch16_224"),
    "another tag": ({"architecture": "vit_tiny_patch16_224.dino"}, "architecture: .* no pretrained tag 'dino'; its"),
    "image_size: 225": ({"image_size": 225}, "image_size: 225 is not a multiple of .*; take 224 or 240"),
    "no such layer": ({"layers": [0, 1, 13]}, "layers: 13 is beyond the last layer of the model, 12"),
    "no weights of timm's": (
        {"architecture": "vit_small_patch16_36x1_224", "weights": {"source": "timm"}},
        "weights.source: timm has no pretrained weights for 'vit_small_patch16_36x1_224'",
    ),
    "no file": (
        {"weights": {"source": "file", "path": "~/absent/weights.pth"}},
        f"weights.path: there is no file {os.path.expanduser('~')}/absent/weights.pth",
    ),
    "a folder": ({"weights": {"source": "file", "path": "."}}, "weights.path: . is a folder; name the file in it"),
}


def study(**changes):
    config = copy.deepcopy(SMALL)
    config["models"]["tiny"] |= changes
    return config


def check(config, results):
    """What is asked of models before a run."""
    find_contents(config, results)
    check_models(config, results)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory of a study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Workflow.PACKAGE))
    monkeypatch.delenv(checks.CONTENTS, raising=False)
    return tmp_path


@pytest.fixture
def no_process(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a process was started")

    monkeypatch.setattr(checks.subprocess, "run", refuse)


def test_what_is_wrong_is_one_line_that_begins_with_the_models_key_and_is_found_out_once(here, monkeypatch):
    started = []
    run = subprocess.run
    monkeypatch.setattr(checks.subprocess, "run", lambda *a, **k: started.append(k["input"]) or run(*a, **k))
    # All at once, in one process; the first that is wrong is named.
    config = study(architecture="resnet50")
    config["models"] |= {str(i): study(**WRONG[name][0])["models"]["tiny"] for i, name in enumerate(WRONG)}
    with pytest.raises(StudyError):
        check_models(config, "results")
    assert len(started) == 1
    for changes, message in WRONG.values():
        with pytest.raises(StudyError, match=f"^models.tiny.{message}") as refused:
            check(study(**changes), "results")
        assert "\n" not in str(refused.value)
    for key, value, message in (
        ("fit", SMALL["fit"] | {"ranks": [2, 193]}, "fit.ranks: 193 is beyond the rank of model tiny's covariance"),
        ("clusters", SMALL["clusters"] | {"count": 15}, "clusters.count: 15 clusters need"),
        (
            "figures",
            {"eigenspectrum": {"layer": 1, "token": "reg_1"}},
            "figures.eigenspectrum.token: model tiny has no",
        ),
    ):
        with pytest.raises(StudyError, match=f"^{message}"):
            check(study() | {key: value}, "results")
    check(study(), "results")
    assert len(started) == 1
    check(study(image_size=80), "results")
    assert len(started) == 2


def made(folder, settings, **source):
    """The files of a model that was made as these settings say."""
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").touch()
    model = {"architecture": settings["architecture"], "image_size": [settings["image_size"]] * 2}
    (folder / "model.json").write_text(json.dumps(model | {"source": settings["weights"] | source}))


@pytest.mark.usefixtures("no_process")
def test_of_a_model_that_is_made_nothing_is_asked(here):
    made(here / "results/models/tiny", SMALL["models"]["tiny"])
    check(study(), "results")
    with pytest.raises(AssertionError, match="a process was started"):
        check(study(weights={"source": "timm"}), "results")


def test_a_broken_environment_is_one_line(here, monkeypatch):
    monkeypatch.setattr(checks, "DESCRIBE", "tokengeometry.absent")
    with pytest.raises(StudyError, match="^models: timm cannot be asked .*absent.*; repair the environment$"):
        check(study(), "results")


def test_reading_the_snakefile_imports_neither_torch_nor_timm():
    code = "import sys, tokengeometry.model.checks; sys.exit(bool({'torch', 'timm', 'numpy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": Workflow.PACKAGE}).returncode == 0
    )


# The content of a file


@pytest.fixture
def counted(monkeypatch):
    """The paths that were read whole."""
    read = []
    monkeypatch.setattr(file_content, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    monkeypatch.setattr(file_content, "SETTLED_SECONDS", 0.05)
    return read


def settle():
    time.sleep(0.1)


def test_a_file_is_read_once_until_anything_touches_it(tmp_path, counted):
    file, kept = tmp_path / "weights.pth", tmp_path / "kept"
    file.write_bytes(b"one")
    settle()
    assert known_sha256(file, kept) == known_sha256(file, kept) == sha256_of(file)
    assert len(counted) == 1
    os.utime(file)
    settle()
    assert known_sha256(file, kept) == known_sha256(file, kept) == sha256_of(file)
    assert len(counted) == 2
    # Replaced in place: the same size, and the time set back.
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    settle()
    assert known_sha256(file, kept) == sha256_of(file)


def test_a_file_just_written_is_read_again_for_its_times_may_not_tell_of_the_next_write(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(file_content, "SETTLED_SECONDS", 60)
    file = tmp_path / "weights.pth"
    file.write_bytes(b"one")
    for _ in range(2):
        known_sha256(file, tmp_path / "kept")
    assert len(counted) == 2


@pytest.mark.parametrize("damage", [b"", b"[", b"[1, 2]", b"null", b'{"question": 1}', b"\xff"])
def test_a_damaged_answer_is_found_out_again(tmp_path, counted, damage):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"one")
    settle()
    known_sha256(file, tmp_path / "kept")
    (answer,) = (tmp_path / "kept").iterdir()
    answer.write_bytes(damage)
    assert known_sha256(file, tmp_path / "kept") == sha256_of(file)


@pytest.mark.usefixtures("no_process")
def test_weights_that_are_made_need_their_file_no_more(here):
    path = checkpoint(here, {"a": torch.zeros(1)})
    source = {"source": "file", "path": path.name}
    config = study(weights=source)
    content = sha256_of(path)
    made(here / "results/models/tiny", config["models"]["tiny"], sha256=content)
    check(config, "results")
    path.unlink()
    check(config, "results")
    assert planned_content("tiny") == content
    check(study(weights=source | {"sha256": content}), "results")
    with pytest.raises(StudyError, match=f"^models.tiny.weights.sha256: {path.name} has sha256 {content}, not 0000"):
        check(study(weights=source | {"sha256": "0" * 64}), "results")
    for other in ({"path": "another.safetensors"}, {"key": "ema"}):
        with pytest.raises(StudyError, match=r"^models\.tiny\.weights\.path: there is no file "):
            check(study(weights=source | other), "results")
    (here / "results/models/tiny/weights.safetensors").unlink()
    with pytest.raises((StudyError, AssertionError), match="there is no file|a process was started"):
        check(config, "results")


def test_a_file_replaced_since_the_run_was_planned_stops_the_job(here, monkeypatch):
    path = checkpoint(here, {"a": torch.zeros(1)}, "weights.pth")
    config = study(weights={"source": "file", "path": path.name})
    check(config, "results")
    planned = planned_content("tiny")
    assert planned == sha256_of(path)
    checkpoint(here, {"a": torch.ones(1)}, "weights.pth")
    params = SimpleNamespace(architecture="vit_tiny_patch16_224", image_size=64, content=planned)
    output = SimpleNamespace(weights="out/weights.safetensors", description="out/model.json")
    job = SimpleNamespace(
        wildcards=SimpleNamespace(model="tiny"), config=config, params=params, output=output, log=["log"]
    )
    with pytest.raises(SystemExit):
        runpy.run_path(str(Workflow.PACKAGE / "scripts" / "model.py"), {"snakemake": job})
    said = (here / "log").read_text()
    changed = f"weights.pth has sha256 {sha256_of(path)}, not {planned}; if it was written to while this ran, run again"
    assert said.splitlines()[-1] == f"error: models.tiny.weights.sha256: {changed}"
    assert not (here / "out" / "model.json").exists()


# Through Snakemake


@pytest.mark.parametrize("arguments", [["--dry-run"], ["plan"]])
def test_a_wrong_architecture_ends_snakemake_in_one_line(small_workflow, arguments):
    small_workflow.configure(study(architecture="resnet50"))
    process = small_workflow.run(*arguments, check=False)
    assert process.returncode == 1
    said = [line for line in process.stdout.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(said) == 1
    assert said[0].startswith("error: models.tiny.architecture: 'resnet50' is not supported; it must be one of ")
    assert not small_workflow.path().exists()
