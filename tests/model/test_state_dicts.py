"""Of several sets of weights in one file, the one that its authors evaluate is taken; what was is recorded."""

import argparse
from collections import OrderedDict

import pytest
import torch
from checkpoints import TINY, assert_same, checkpoint, prepare, pretrained, refusal, without_classifier
from tokengeometry.errors import StudyError
from tokengeometry.model.state_dicts import choose
from tokengeometry.model.token_chain import create_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def right():
    return without_classifier(pretrained().state_dict())


@pytest.fixture(scope="module")
def wrong(right):
    """Weights of the same model that are not to be taken."""
    return {name: tensor + 1 for name, tensor in right.items()}


@pytest.fixture(scope="module")
def network():
    return create_model(TINY, device="meta")


def under(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def adam(state):
    """An optimizer's state: tensors of the shapes of the model's, by number."""
    return {"state": {index: {"exp_avg": tensor} for index, tensor in enumerate(state.values())}, "param_groups": [{}]}


HEAD = {"head.mlp.0.weight": torch.zeros(2, 64), "head.last_layer.weight": torch.zeros(2, 2)}

# What a training script saves, and the key of the right weights in it.
ONE_SET = {
    "a state dict": (lambda right: right, ""),
    "parameters": (lambda right: {name: torch.nn.Parameter(tensor) for name, tensor in right.items()}, ""),
    "Lightning": (
        lambda right: {"epoch": 3, "state_dict": under("model.", right), "optimizer_states": [adam(right)]},
        "state_dict.model",
    ),
    "DistributedDataParallel": (lambda right: {"model": under("module.", right), "opt": adam(right)}, "model.module"),
    "torch.compile around it": (lambda right: under("_orig_mod.module.", right), "_orig_mod.module"),
    "it around torch.compile": (lambda right: under("module._orig_mod.", right), "module._orig_mod"),
    "a backbone with a head": (lambda right: under("backbone.", right) | HEAD, "backbone"),
    "an encoder with a decoder": (
        lambda right: {"model": under("encoder.", right) | {"decoder.weight": torch.zeros(3)}},
        "model.encoder",
    ),
    "a teacher alone": (lambda right: under("teacher.backbone.", right), "teacher.backbone"),
    "any prefix that all names share": (lambda right: under("net.vision.tower.", right), "net.vision.tower"),
    "with the arguments": (lambda right: {"state_dict": right, "args": argparse.Namespace(lr=0.1)}, "state_dict"),
    "MAE": (
        lambda right: {"model": right | {"mask_token": torch.zeros(8), "decoder_blocks.0.norm1.bias": torch.zeros(8)}},
        "model",
    ),
    "SWA's counter": (lambda right: under("module.", right) | {"n_averaged": torch.tensor(3)}, "module"),
}  # fmt: skip


@pytest.mark.parametrize("saved", ONE_SET)
def test_a_training_checkpoint_is_unwrapped_and_its_key_recorded(tmp_path, capsys, right, saved):
    wrap, key = ONE_SET[saved]
    model, written = prepare(tmp_path, checkpoint(tmp_path, wrap(right), "checkpoint.pth"))
    assert_same(written, right)
    assert model["key"] == key
    said = f"checkpoint.pth: the set of weights {key}\n" if key else "checkpoint.pth: the names as they are\n"
    assert capsys.readouterr().out.endswith(said)


SEVERAL = {
    "I-JEPA": (
        lambda right, wrong: {
            "encoder": under("module.", wrong),
            "predictor": {"module.predictor_embed.weight": torch.zeros(3, 3)},
            "target_encoder": under("module.", right),
        },
        "target_encoder.module",
    ),
    "DINO": (
        lambda right, wrong: {
            "student": under("module.backbone.", wrong) | under("module.", HEAD),
            "teacher": under("backbone.", right) | HEAD,
            "optimizer": adam(wrong),
        },
        "teacher.backbone",
    ),
    "DINOv2 while it trains": (
        lambda right, wrong: {"model": under("student.backbone.", wrong) | under("teacher.backbone.", right)},
        "model.teacher.backbone",
    ),
    "MoCo v3": (
        lambda right, wrong: {
            "state_dict": under("module.momentum_encoder.", wrong) | under("module.base_encoder.", right)
        },
        "state_dict.module.base_encoder",
    ),
    "MoCo": (lambda right, wrong: under("encoder_k.", wrong) | under("encoder_q.", right), "encoder_q"),
    "BYOL": (
        lambda right, wrong: under("target_encoder.net.", wrong) | under("online_encoder.net.", right),
        "online_encoder.net",
    ),
    "timm": (lambda right, wrong: {"state_dict": wrong, "state_dict_ema": right}, "state_dict_ema"),
    "DeiT": (lambda right, wrong: {"model": wrong, "model_ema": right}, "model_ema"),
    "ema": (lambda right, wrong: {"model": wrong, "ema": right}, "ema"),
    "ema of Lightning": (
        lambda right, wrong: {"state_dict": under("model.", wrong) | under("ema_model.module.", right)},
        "state_dict.ema_model.module",
    ),
    "ema_state_dict": (lambda right, wrong: {"ema_state_dict": right, "model_state_dict": wrong}, "ema_state_dict"),
    "an empty average": (lambda right, wrong: {"model": right, "model_ema": {}}, "model"),
    "a part of the model": (lambda right, wrong: {"model": {"cls_token": torch.zeros(1)}, "net": right}, "net"),
    "a larger teacher": (
        lambda right, wrong: {
            "student": right,
            "teacher": {name: torch.cat([tensor, tensor]) for name, tensor in wrong.items()},
        },
        "student",
    ),
}


@pytest.mark.parametrize("order", ["as saved", "the other way round"])
@pytest.mark.parametrize("saved", SEVERAL)
def test_of_several_sets_of_weights_the_one_its_authors_evaluate_is_taken(right, wrong, network, capsys, saved, order):
    wrap, key = SEVERAL[saved]
    held = wrap(right, wrong)
    if order != "as saved":
        held = OrderedDict(reversed(held.items()))
    state, taken = choose(held, network, TINY, "file.pth")
    assert taken == key
    assert_same({name: state[name] for name in right}, right)
    said = capsys.readouterr().out
    assert said.startswith(f"file.pth: the set of weights {key}")
    assert ("not taken: " in said) == (saved not in ("an empty average", "a part of the model", "a larger teacher"))


def test_no_rule_for_two_sets_of_weights_is_an_error_that_lists_them_and_a_key_chooses(right, wrong, network):
    held = {"generator": {"vit": wrong}, "critic": {"vit": right}, "step": 3}
    with pytest.raises(StudyError) as refused:
        choose(held, network, TINY, "file.pth")
    assert str(refused.value).startswith("weights.key: file.pth holds several sets of weights, and no rule says which")
    assert str(refused.value).endswith("choose one of critic.vit, generator.vit")
    for key in ("critic", "critic.vit"):
        state, taken = choose(held, network, TINY, "file.pth", key)
        assert taken == "critic.vit"
        assert_same(state, right)


def test_a_key_goes_before_the_rule_and_within_it_the_rule_goes_on(right, wrong, network):
    held = {"model": under("student.", right) | under("teacher.", wrong), "ema": wrong}
    assert_same(choose(held, network, TINY, "file.pth", "model.student")[0], right)
    assert choose(held, network, TINY, "file.pth", "model")[1] == "model.teacher"
    # Some of the names of one set may be those of another.
    inside = under("distilled.", wrong) | right
    with pytest.raises(StudyError, match=r'choose one of "", distilled$'):
        choose(inside, network, TINY, "file.pth")
    state, taken = choose(inside, network, TINY, "file.pth", "")
    assert taken == ""
    assert_same(state, right)
    assert choose(inside, network, TINY, "file.pth", "distilled")[1] == "distilled"


def test_a_key_that_is_not_in_the_file_is_refused_with_those_that_are(tmp_path, right, wrong):
    path = checkpoint(tmp_path, {"model": right, "ema": wrong}, "checkpoint.pth")
    message = refusal(tmp_path, {"source": "file", "path": str(path), "key": "model_ema"})
    assert message.startswith("weights.key: ")
    assert message.endswith("checkpoint.pth has no tensor under 'model_ema'; its sets of weights: ema, model")
    model, written = prepare(tmp_path, {"source": "file", "path": str(path), "key": "model"})
    assert_same(written, right)
    assert model["key"] == model["source"]["key"] == "model"


def test_the_evaluated_set_is_not_left_for_another_because_it_is_damaged(right, wrong, network):
    part = {name: tensor for name, tensor in right.items() if name != "norm.bias"}
    with pytest.raises(StudyError, match="^file.pth does not fit test_vit under 'target_encoder': missing: norm.bias$"):
        choose({"encoder": wrong, "target_encoder": part}, network, TINY, "file.pth")


def test_names_that_only_a_converter_of_timm_knows_keep_their_prefix(network):
    """CLIP's names: the converter wants `visual.` before them, and a wrapper before that is stripped."""
    architecture = "vit_base_patch32_clip_224"
    clip = create_model(architecture, 32, device="meta")
    names = {
        "class_embedding": clip.cls_token[0, 0],
        "positional_embedding": clip.pos_embed[0],
        "conv1.weight": clip.patch_embed.proj.weight,
        "ln_pre.weight": clip.norm_pre.weight,
        "ln_pre.bias": clip.norm_pre.bias,
        "ln_post.weight": clip.norm.weight,
        "ln_post.bias": clip.norm.bias,
    }
    for index, block in enumerate(clip.blocks):
        place = f"transformer.resblocks.{index}."
        names |= {f"{place}ln_{i}.{n}": p for i in (1, 2) for n, p in getattr(block, f"norm{i}").named_parameters()}
        names |= {f"{place}attn.in_proj_{n}": p for n, p in block.attn.qkv.named_parameters()}
        names |= {f"{place}attn.out_proj.{n}": p for n, p in block.attn.proj.named_parameters()}
        names |= {f"{place}mlp.c_fc.{n}": p for n, p in block.mlp.fc1.named_parameters()}
        names |= {f"{place}mlp.c_proj.{n}": p for n, p in block.mlp.fc2.named_parameters()}
    text = {"transformer.resblocks.0.ln_1.weight": torch.zeros(3), "logit_scale": torch.zeros(())}
    held = {"state_dict": under("_orig_mod.", under("visual.", names) | text)}
    state, key = choose(held, clip, architecture, "file.pth")
    assert key == "state_dict._orig_mod"
    assert "visual.conv1.weight" in state
