"""A file of weights is what its content says, or is refused in one line that says what would be right."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from checkpoints import assert_same, checkpoint, prepare, pretrained, refusal, without_classifier
from tokengeometry.model.weight_files import read

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("saved", ["a.safetensors", "a.pth", "legacy.pth"])
@pytest.mark.parametrize("name", ["x.PTH", "x.SafeTensors", "x.ckpt", "x.pth.tar", "x.pkl", "x.onnx", "x.weights", "x"])
def test_a_file_is_what_its_content_says_whatever_its_name(tmp_path, saved, name):
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}
    if saved.startswith("legacy"):
        torch.save(state, tmp_path / saved, _use_new_zipfile_serialization=False)
    else:
        checkpoint(tmp_path, state, saved)
    assert_same(read((tmp_path / saved).rename(tmp_path / name)), state)


@pytest.mark.parametrize("name", ["weights.PTH", "weights.ONNX", "weights.Bin"])
def test_a_suffix_counts_in_any_case_where_the_content_says_nothing(tmp_path, name):
    (tmp_path / name).write_bytes(b"neither")
    message = refusal(tmp_path, tmp_path / name)
    assert "one of these kinds" not in message
    assert ("not a readable ONNX graph" if "ONNX" in name else "not what torch.save writes") in message


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_torchscript_archive_is_named_and_the_advice_works(tmp_path):
    network = pretrained()
    path = tmp_path / "weights.pt"
    torch.jit.trace(network, torch.zeros(1, 3, 160, 160)).save(path)
    message = refusal(tmp_path, path)
    assert "the weights weights.pt are a TorchScript archive" in message
    assert "damaged" not in message
    advice = "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
    assert advice in message
    eval(advice, {"torch": torch, "FILE": path, "NEW": tmp_path / "new.pth"})
    assert_same(prepare(tmp_path, tmp_path / "new.pth")[1], without_classifier(network.state_dict()))


def test_other_archives_and_pointers_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
        archive.writestr("model/weights.pth", b"inside")
    assert "weights.pt are a zip archive, but not one of torch.save" in refusal(tmp_path, tmp_path / "weights.pt")
    pointer = tmp_path / "weights.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert "weights.safetensors are a pointer of Git LFS, not the file" in refusal(tmp_path, pointer)


class Touch:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_an_unsafe_pickle_is_refused_and_not_run(tmp_path, form):
    touched = tmp_path / "touched"
    path = tmp_path / "weights.pth"
    content = {**pretrained().state_dict(), "extra": Touch(touched)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"extra": Touch(touched)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    message = refusal(tmp_path, path)
    assert "weights.pth are refused: to unpickle them is to call" in message
    assert not touched.exists()
    torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
    assert touched.exists(), "the file was harmless"


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_damaged(tmp_path, name, kept):
    path = checkpoint(tmp_path, pretrained().state_dict(), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert f"the weights {name} are damaged: " in refusal(tmp_path, path)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "page.pth").write_bytes(b"<!DOCTYPE html> not found")
    assert "page.pth are not what torch.save writes" in refusal(tmp_path, tmp_path / "page.pth")
    torch.save({"epoch": 3, "args": {}}, tmp_path / "log.pth")
    assert "holds no state dict, but epoch, args" in refusal(tmp_path, tmp_path / "log.pth")
    (tmp_path / "weights.npz").touch()
    assert "one of these kinds: .safetensors, " in refusal(tmp_path, tmp_path / "weights.npz")
