"""A reduced model is timm's own where nothing goes, and token merging in plain loops where something does."""

import json

import pytest
import timm
import tokengeometry
import torch
from reducible import DEPTH, PLACES, small_model, some_geometry, some_images
from timm.models.deit import VisionTransformerDistilled
from tokengeometry.errors import StudyError
from tokengeometry.reduction import flops, policies
from tokengeometry.reduction.patching import reduce
from tome_by_hand import forward_features

pytestmark = pytest.mark.usefixtures("one_thread")
# Of the ways that timm builds a vision transformer.
BUILDS = [
    {},
    {"reg_tokens": 4},
    {"class_token": False, "global_pool": "avg"},
    {"pre_norm": True, "no_embed_class": True, "reg_tokens": 1},
    {"init_values": 0.5, "qk_norm": True},
    {"dynamic_img_size": True, "scale_attn_norm": True},
]


def features(model, images, *arguments, **options):
    with torch.inference_mode(), reduce(model, *arguments, **options) as reduction:
        return model.forward_features(images), reduction


@pytest.mark.parametrize("build", BUILDS)
def test_r_0_is_bit_identical_and_the_model_is_as_before_afterwards(build):
    model, images = small_model(**build), some_images()
    with torch.inference_mode():
        whole = model(images)
        with reduce(model, [0] * DEPTH):
            assert torch.equal(model(images), whole)
        with reduce(model, [3] * DEPTH):
            assert not torch.equal(model(images), whole)
        assert torch.equal(model(images), whole)
    assert not any("forward" in vars(block) for block in model.blocks)
    assert not any(block.attn.k_norm._forward_hooks for block in model.blocks)


def test_an_error_within_leaves_the_model_as_before():
    model, images = small_model(), some_images()
    whole = model(images)
    with pytest.raises(ZeroDivisionError), reduce(model, [3] * DEPTH):
        raise ZeroDivisionError
    assert torch.equal(model(images), whole)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("schedule", [[4, 4, 4], [0, 9, 0], [15, 7, 4]])
def test_tome_equals_loops_written_from_the_paper(build, schedule):
    model, images = small_model(**build), some_images()
    found, reduction = features(model, images, schedule)
    with torch.inference_mode():
        expected = forward_features(model, images, schedule)
    for its, sizes, (tokens, counts) in zip(found, reduction.sizes, expected, strict=True):
        assert sizes.tolist() == counts
        torch.testing.assert_close(its, tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fused", [True, False])
def test_both_of_timms_attentions_are_proportional(fused):
    model, images = small_model(), some_images()
    for block in model.blocks:
        block.attn.fused_attn = fused
    found, _ = features(model, images, [5, 5, 5])
    with torch.inference_mode():
        expected = torch.stack([tokens for tokens, _ in forward_features(model, images, [5, 5, 5])])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize("schedule", [[1, 0, 0], [5, 5, 5], [15, 7, 3], [99, 99, 99]])
def test_any_schedule_gives_the_right_shapes_and_sizes_that_add_up(policy, schedule):
    model, images = small_model(reg_tokens=2), some_images()
    found, reduction = features(model, images, schedule, policy=policy, geometry=some_geometry())
    left = flops.left(PLACES, schedule)[-1]
    assert found.shape == (len(images), 3 + left, 32)
    assert found.isfinite().all()
    total = torch.full((len(images),), 3.0 + PLACES)
    if getattr(policies.load(policy), "MERGES", True):
        assert torch.equal(reduction.sizes.sum(dim=1), total)
    else:
        assert torch.equal(reduction.sizes, torch.ones(len(images), 3 + left))
    # Every token that is left holds as many places as its size says.
    for places, sizes in zip(reduction.places, reduction.sizes, strict=True):
        assert torch.bincount(places[places >= 0], minlength=3 + left)[3:].tolist() == sizes[3:].tolist()
    assert torch.equal(reduction.sizes[:, :3], torch.ones(len(images), 3))


@pytest.mark.parametrize("policy", policies.names())
def test_images_do_not_meddle_with_each_other(policy):
    model, images = small_model(), some_images()
    options = dict(policy=policy, geometry=some_geometry())
    together, _ = features(model, images, [6, 5, 4], **options)
    alone = torch.cat([features(model, image[None], [6, 5, 4], **options)[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_the_mean_over_tokens_is_that_over_the_tokens_of_the_input():
    model, images = small_model(class_token=False, global_pool="avg", num_classes=5), some_images()
    with torch.inference_mode(), reduce(model, [4, 4, 4]) as reduction:
        logits, tokens = model(images), model.forward_features(images)
        spread = torch.stack([its[places] for its, places in zip(tokens, reduction.places, strict=True)])
        torch.testing.assert_close(logits, model.head(model.fc_norm(spread.mean(dim=1))), rtol=1e-5, atol=1e-5)


def test_gradients_pass_through():
    model = small_model()
    with reduce(model, [5, 5, 5]):
        model(some_images()).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_schedule_comes_from_a_file_too(tmp_path):
    path = tmp_path / "schedule.json"
    others = {"tome-alpha": {"0.5": [4, 4, 4], "0.9": [1, 0, 0]}, "tome-exponential": {"0.5": [6, 4, 2]}}
    path.write_text(json.dumps({"r": others["tome-alpha"], "others": others}))
    model, images = small_model(), some_images()
    expected, _ = features(model, images, [4, 4, 4])
    assert torch.equal(features(model, images, path, budget=0.5)[0], expected)
    with pytest.raises(StudyError, match=r"has no budget 0.4; it has 0.5, 0.9"):
        features(model, images, path, budget=0.4)
    expected, _ = features(model, images, [6, 4, 2])
    assert torch.equal(features(model, images, path, named="tome-exponential")[0], expected)
    with pytest.raises(StudyError, match="has no schedule tome-best; it has tome-alpha, tome-exponential"):
        features(model, images, path, named="tome-best")


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (timm.create_model("eva02_tiny_patch14_224", img_size=56, depth=1), "Eva"),
        (timm.create_model("vit_small_patch16_18x2_224", img_size=32, depth=1), "ParallelThingsBlock"),
        (small_model(attn_layer="diff"), "DiffAttention"),
        (small_model(class_token=False, global_pool="map"), "global_pool 'map'"),
        (timm.create_model("resnet10t"), "ResNet"),
    ],
)
def test_what_is_not_supported_is_named(model, named):
    with pytest.raises(StudyError, match=named), reduce(model, [1] * DEPTH):
        pass


@pytest.mark.parametrize("schedule", [[1, 1], [1, 1, -1], [1.5, 1, 1], [1, 1, 1, 1]])
def test_a_schedule_that_does_not_fit_is_refused(schedule):
    with pytest.raises(StudyError, match="it must be 3 whole numbers from 0 on"), reduce(small_model(), schedule):
        pass


def test_a_model_is_reduced_once_at_a_time():
    model = small_model()
    with reduce(model, [1, 1, 1]), pytest.raises(StudyError, match="reduced already"), reduce(model, [1, 1, 1]):
        pass
    assert not any("forward" in vars(block) for block in model.blocks)


def test_a_distillation_token_is_a_prefix_token():
    model = VisionTransformerDistilled(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2).eval()
    found, reduction = features(model, torch.randn(2, 3, 32, 32), [5, 2])
    assert found.shape[1] == 2 + 9
    assert torch.equal(reduction.sizes[:, :2], torch.ones(2, 2))


def test_the_package_offers_it():
    assert tokengeometry.reduce is reduce
