"""Weights of a local file and random ones end in timm's own state dict, or in one line that says why not."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import timm
import torch
from checkpoints import TINY, assert_same, checkpoint, prepare, pretrained, refusal, without_classifier
from small_study import Workflow
from timm.layers import resample_abs_pos_embed
from tokengeometry.model.state_dicts import misfit
from tokengeometry.model.token_chain import create_model

pytestmark = pytest.mark.usefixtures("one_thread")


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
    renamed = {f"{key}.ours": tensor for key, tensor in state.items()}
    message = refusal(tmp_path, checkpoint(tmp_path, renamed), architecture=TINY)
    expected = sorted(without_classifier(state))
    assert ", ".join(expected[:8]) + f" and {len(expected) - 8} more" in message
    assert len(message) < 1600


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
    assert misfit(whole, model, architecture) == {}
    extra = {**whole, "attn_pool.extra": torch.zeros(1)}
    assert misfit(extra, model, architecture) == {"unexpected": ["attn_pool.extra"]}
    partial = {key: tensor for key, tensor in whole.items() if key != "attn_pool.latent"}
    assert misfit(partial, model, architecture) == {"missing": ["attn_pool.latent"]}


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


def test_a_missing_file_or_another_checksum_is_named(tmp_path):
    absent = tmp_path / "absent.pth"
    assert refusal(tmp_path, absent) == f"weights.path: there is no file {absent}"
    path = checkpoint(tmp_path, pretrained().state_dict())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    prepare(tmp_path, {"source": "file", "path": str(path), "sha256": digest.upper()})
    for file in (tmp_path / "out").iterdir():
        file.unlink()
    message = refusal(tmp_path, {"source": "file", "path": str(path), "sha256": "0" * 64})
    assert message.startswith(f"weights.sha256: {path} has sha256 {digest}, not {'0' * 64}; ")
    assert refusal(tmp_path, tmp_path) == f"weights.path: {tmp_path} is a folder; name the file in it"


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


WRITER = """
import sys
from pathlib import Path
from tokengeometry.model.weights import prepare
out = Path(sys.argv[1])
files = out / "weights.safetensors", out / "model.json"
while True:
    prepare("test_vit", None, {"source": "random", "seed": 0}, *files, scratch=out)
    print("written", flush=True)
"""


def test_nothing_stays_of_a_killed_write_after_the_next(tmp_path):
    out = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(Workflow.PACKAGE)}
    left, deadline = [], time.monotonic() + 120
    command = [sys.executable, "-c", WRITER, str(out)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
        try:
            writer.stdout.readline()
            # Stopped again and again, until it is in the middle of writing the weights.
            while not left:
                assert writer.poll() is None
                assert time.monotonic() < deadline
                writer.send_signal(signal.SIGCONT)
                time.sleep(0.003)
                writer.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                left = list(out.glob(".partial/.tmp*"))
        finally:
            # Not to be waited for while it stands still.
            writer.kill()
    assert left[0].exists()
    prepare(tmp_path, {"source": "random", "seed": 0})
    assert {file.name for file in out.iterdir()} == {"weights.safetensors", "model.json"}
