"""The chain is timm's own forward pass, link by link."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from tokengeometry.errors import StudyError
from tokengeometry.model.token_chain import (
    FAMILIES,
    TokenChain,
    create_model,
    describe,
    load_chain,
    patchify,
    prefix_token_names,
    unpatchify,
)

SMALL = dict(img_size=(32, 48), patch_size=8, embed_dim=32, depth=3, num_heads=2, num_classes=0)
# timm's name and the size at which it is small.
EVA = {"eva02_tiny_patch14_224": 56, "vit_small_patch16_dinov3": 64, "vit_pe_core_tiny_patch16_384": 64}


def randomised(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return model.eval()


def layers_of(chain, images):
    tokens = patchify(images, chain.model.patch_embed.patch_size)
    for layer in range(1, chain.depth + 1):
        tokens = chain.link(layer, tokens)
        yield tokens


def timm_layers(model, images):
    for intermediate in model.forward_intermediates(
        images, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
    ):
        if isinstance(intermediate, tuple):
            spatial, prefix = intermediate
            yield torch.cat([prefix, spatial], dim=1)
        else:
            yield intermediate


def assert_chain_is_forward_pass(model):
    images = torch.randn(2, 3, *model.patch_embed.img_size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        layers = 0
        for chained, expected in zip(layers_of(TokenChain(model), images), timm_layers(model, images), strict=True):
            torch.testing.assert_close(chained, expected, rtol=1e-6, atol=1e-6 * expected.abs().max().item())
            layers += 1
    assert layers == len(model.blocks)


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({}, ["cls"]),
        ({"reg_tokens": 4}, ["cls", "reg_1", "reg_2", "reg_3", "reg_4"]),
        ({"reg_tokens": 2, "no_embed_class": True}, ["cls", "reg_1", "reg_2"]),
        ({"class_token": False, "global_pool": "avg"}, []),
        ({"class_token": False, "global_pool": "map"}, []),
        ({"class_token": False, "global_pool": "avg", "reg_tokens": 1}, ["reg_1"]),
        ({"pre_norm": True}, ["cls"]),
        ({"pos_embed": "none", "init_values": 0.1, "qk_norm": True}, ["cls"]),
        ({"dynamic_img_size": True}, ["cls"]),
    ],
)
def test_chain_equals_forward_intermediates_of_vision_transformer(options, prefix):
    model = randomised(VisionTransformer(**SMALL, **options))
    assert prefix_token_names(model) == prefix
    assert_chain_is_forward_pass(model)


def test_chain_equals_forward_intermediates_with_a_distillation_token():
    model = randomised(VisionTransformerDistilled(**SMALL))
    assert prefix_token_names(model) == ["cls", "dist"]
    assert_chain_is_forward_pass(model)


@pytest.mark.parametrize(("architecture", "size"), EVA.items())
def test_chain_equals_forward_intermediates_of_eva(architecture, size):
    assert_chain_is_forward_pass(randomised(create_model(architecture, size)))


def test_chain_equals_forward_intermediates_with_a_rotary_embedding_of_its_own_per_block():
    assert_chain_is_forward_pass(
        randomised(timm.create_model("vit_small_patch16_rope_mixed_224", num_classes=0, img_size=64, depth=2))
    )


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224"])
def test_links_loaded_one_by_one_equal_the_whole_model(architecture, tmp_path):
    model = randomised(create_model(architecture, 56 if "14" in architecture else 64))
    weights = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, weights)
    tokens = patchify(torch.randn(2, 3, *model.patch_embed.img_size), model.patch_embed.patch_size)
    with torch.inference_mode():
        for layer in (1, 2, 3):
            chain = load_chain(describe(model, architecture), weights, layers=[layer])
            linked = chain.link(layer, tokens)
            torch.testing.assert_close(linked, TokenChain(model).link(layer, tokens), rtol=0, atol=0)
            tokens = linked


def test_a_missing_tensor_is_named(tmp_path):
    model = create_model("vit_tiny_patch16_224", 32)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    del state["blocks.1.mlp.fc1.weight"]
    weights = tmp_path / "weights.safetensors"
    save_file(state, weights)
    with pytest.raises(StudyError, match=r"lacks blocks\.1\.mlp\.fc1\.weight"):
        load_chain(describe(model, "vit_tiny_patch16_224"), weights, layers=[2])
    load_chain(describe(model, "vit_tiny_patch16_224"), weights, layers=[1])


def test_patches_go_row_by_row_and_come_back():
    images = torch.arange(2 * 3 * 8 * 12, dtype=torch.float32).reshape(2, 3, 8, 12)
    patches = patchify(images, (4, 4))
    assert patches.shape == (2, 6, 48)
    assert torch.equal(patches[1, 4].reshape(3, 4, 4), images[1, :, 4:8, 4:8])
    assert torch.equal(unpatchify(patches, (4, 4), (2, 3)), images)


@pytest.mark.parametrize("architecture", ["resnet18", "vit_base_r50_s16_224", "swin_tiny_patch4_window7_224"])
def test_a_model_outside_the_families_is_refused(architecture):
    with pytest.raises(StudyError, match=f"{architecture}.*VisionTransformer and Eva"):
        create_model(architecture, 224, device="meta")


def test_an_unknown_architecture_is_named_with_a_near_one():
    with pytest.raises(StudyError, match="^architecture: 'vit_base_patch8_225' is not .* vit_base_patch8_224,"):
        create_model("vit_base_patch8_225")
    with pytest.raises(StudyError, match="^architecture: 'resnet5O' is not .*VisionTransformer and Eva families"):
        create_model("resnet5O")


def test_a_tag_that_the_architecture_lacks_is_named_with_those_it_has():
    tags = "augreg_in21k, augreg_in21k_ft_in1k"
    with pytest.raises(StudyError, match=f"^architecture: .*vit_tiny_patch16_224 has no .*'dino'; its tags: {tags}$"):
        create_model("vit_tiny_patch16_224.dino", device="meta")
    # With no pretrained weights there is nothing that a tag could name.
    create_model("vit_small_patch16_36x1_224.untrained", 32, device="meta")


@pytest.mark.parametrize(
    ("architecture", "size", "fitting"),
    [
        ("vit_tiny_patch16_224", 225, [224, 240]),
        ("vit_tiny_patch16_224", 100, [96, 112]),
        ("vit_tiny_patch16_224", 5, [16]),
        ("eva02_tiny_patch14_224", 225, [224, 238]),
        ("vit_so400m_patch14_siglip_384", 385, [378, 392]),
        # Its own size, of whose last pixels the patches leave some out.
        ("vit_so400m_patch14_siglip_384", 384, [378]),
        ("vit_so400m_patch14_siglip_384", None, [378]),
    ],
)
def test_an_image_size_that_the_patches_do_not_divide_is_refused_with_the_nearest_that_fit(architecture, size, fitting):
    with pytest.raises(
        StudyError, match="^image_size: .* is not a multiple of .*'s patch size, 1[46]; take "
    ) as refused:
        create_model(architecture, size, device="meta")
    assert list(map(int, re.findall(r"\d+", re.sub(r"for its.*", "", str(refused.value).split("take")[1])))) == fitting
    for fits in fitting:
        assert create_model(architecture, fits, device="meta").patch_embed.img_size == (fits, fits)


def every_family():
    """Every model of timm's families that the chain supports, and one of each other module of timm."""
    others = {timm.model_entrypoint(name).__module__: name for name in timm.list_models(exclude_filters="test_*")}
    others = {module: name for module, name in others.items() if module.split(".")[-1] not in FAMILIES}
    return sorted(timm.list_models(module=list(FAMILIES))), sorted(others.values())


def test_every_architecture_of_timm_can_be_made_or_is_refused_in_one_line():
    inside, outside = every_family()
    assert len(inside) > 200
    assert len(outside) > 50
    for name in outside:
        with pytest.raises(StudyError, match=f"^architecture: '{name}' is not supported; it must be one of "):
            create_model(name, 224, device="meta")
    refused = {}
    # Every seventh, and those whose own size their patches don't divide; all take minutes.
    for name in inside[::7] + [name for name in inside if "siglip" in name and name.endswith("_384")]:
        size = timm.get_pretrained_cfg(name).input_size[1]
        try:
            model = create_model(name, size, device="meta")
            assert model.patch_embed.img_size == (size, size), name
        except StudyError as error:
            refused[name] = str(error)
    own_size = {name: said for name, said in refused.items() if said.startswith("image_size: 384 ")}
    assert own_size.keys() == {"vit_so400m_patch14_siglip_384", "vit_so400m_patch14_siglip_gap_384"}
    assert all("is not supported" in said for name, said in refused.items() if name not in own_size)
    assert len(refused) < len(inside) / 7 / 2


def test_description_gives_geometry_and_preprocessing():
    model = create_model("vit_small_patch14_dinov2.lvd142m", 224, device="meta")
    description = describe(model, "vit_small_patch14_dinov2.lvd142m")
    assert description["grid"] == [16, 16]
    assert description["prefix_tokens"] == ["cls"]
    assert (description["depth"], description["embed_dim"]) == (12, 384)
    assert description["interpolation"] == "bicubic"
    assert description["mean"] == pytest.approx((0.485, 0.456, 0.406))
