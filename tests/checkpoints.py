"""What the tests of weights share: models with values of their own, and `prepare` on a folder."""

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from tokengeometry.errors import StudyError
from tokengeometry.model import weights

# 64 features, 160 px in patches of 16, class token; 1000 classes.
TINY = "test_vit"


def pretrained(architecture=TINY, **options):
    """A timm model whose every tensor has values of its own."""
    generator = torch.Generator().manual_seed(5)
    model = timm.create_model(architecture, **options).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return model


def prepare(folder, source, *, architecture=TINY, image_size=None):
    """(what `prepare` returns, the state dict it wrote); the file source needs only its path."""
    source = source if isinstance(source, dict) else {"source": "file", "path": str(source)}
    written, described = folder / "out" / "weights.safetensors", folder / "out" / "model.json"
    model = weights.prepare(architecture, image_size, source, written, described, scratch=folder / "scratch")
    assert json.loads(described.read_text()) == model
    return model, load_file(written)


def checkpoint(folder, state, name="checkpoint.safetensors"):
    path = folder / name
    if path.suffix == ".safetensors":
        save_file({key: tensor.clone().contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def refusal(folder, source, **options):
    """The one line with which `prepare` refuses; nothing is left behind."""
    with pytest.raises(StudyError) as refused:
        prepare(folder, source, **options)
    assert "\n" not in str(refused.value)
    assert not list(folder.glob("out/*"))
    return str(refused.value)


def without_classifier(state):
    return {key: tensor for key, tensor in state.items() if not key.startswith("head")}


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(state[key], tensor), key
