"""What a model is given of an image: timm's own, or the whole image, or what is not rounded."""

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image
from tokengeometry.data import splits
from tokengeometry.model.token_chain import create_model, describe
from tokengeometry.storage import zarr_store

pytestmark = pytest.mark.usefixtures("one_thread")

CROPS = ("center", "none")


@pytest.fixture(scope="module")
def model():
    """Of a model that timm crops: input 64 × 64, from a resize to 71."""
    return describe(create_model("vit_tiny_patch16_224", 64, device="meta"), "vit_tiny_patch16_224")


@pytest.fixture(params=[(28, 28), (300, 200), (64, 64), (50, 333)], ids=str)
def image(request):
    """Smooth and sharp, and so that an interpolation goes beyond black and white."""
    rng = np.random.default_rng(0)
    width, height = request.param
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((width, height), Image.BICUBIC)
    pixels = np.array(coarse)
    pixels[: height // 2, : width // 3], pixels[height // 2 :, : width // 3] = 0, 255
    return Image.fromarray(pixels)


def grey_levels(found, model):
    """0 to 255, (channel, height, width)."""
    mean, std = (np.array(model[key])[:, None, None] for key in ("mean", "std"))
    return (found.double().numpy() * std + mean) * 255


def witness(image, model, crop):
    """Pillow's interpolation of each channel in floating point: grey levels (channel, height, width)."""
    height, width = model["image_size"]
    if crop == "none":
        size, left, upper = (width, height), 0, 0
    else:
        shorter = int(height / model["crop_pct"])
        scale = shorter / min(image.size)
        size = tuple(shorter if side == min(image.size) else int(side * scale) for side in image.size)
        left, upper = round((size[0] - width) / 2), round((size[1] - height) / 2)
    channels = [Image.fromarray(np.asarray(channel, np.float32)) for channel in image.split()]
    resized = np.stack([np.asarray(channel.resize(size, Image.BICUBIC)) for channel in channels])
    return resized[:, upper : upper + height, left : left + width].clip(0, 255)


def test_center_and_uint8_are_timms_own_bit_by_bit(image, model):
    network = create_model("vit_tiny_patch16_224", 64, device="meta")
    settings = timm.data.resolve_data_config({}, model=network) | {"input_size": (3, 64, 64)}
    expected = timm.data.create_transform(**settings)(image)
    assert torch.equal(splits.transform(model, crop="center", resize="uint8")(image), expected)
    assert torch.equal(splits.transform(model)(image), expected)


def test_without_a_crop_the_whole_image_is_pillows_resize_of_it(image, model):
    found = grey_levels(splits.transform(model, crop="none")(image), model)
    expected = np.asarray(image.resize((64, 64), Image.BICUBIC)).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_border_is_cut_off_by_center_alone(model):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[1:-1, 1:-1] = 255
    black = {crop: splits.transform(model, crop=crop)(Image.fromarray(pixels)).min() for crop in CROPS}
    assert grey_levels(black["none"], model).max() == pytest.approx(0, abs=1e-4)
    assert grey_levels(black["center"], model).min() > 200


@pytest.mark.parametrize("crop", CROPS)
def test_float_is_the_same_interpolation_without_rounding(image, model, crop):
    found = grey_levels(splits.transform(model, crop=crop, resize="float")(image), model)
    np.testing.assert_allclose(found, witness(image, model, crop), atol=2e-3)
    assert found.min() >= -1e-4
    assert found.max() <= 255 + 1e-4
    rounded = grey_levels(splits.transform(model, crop=crop)(image), model)
    assert np.abs(found - rounded).mean() < 0.5
    if (crop, image.size) != ("none", (64, 64)):
        assert np.abs(found - found.round()).mean() > 0.05


def test_batches_are_preprocessed_as_asked(model, folder_of_images):
    split = splits.open_split("ImageFolder", {"root": str(folder_of_images)}, ".")
    for crop in CROPS:
        for resize in ("uint8", "float"):
            (found,) = splits.batches(split, [2, 0], model, batch_size=2, workers=1, crop=crop, resize=resize)
            one = splits.transform(model, crop=crop, resize=resize)
            assert torch.equal(found, torch.stack([one(split[2][0]), one(split[0][0])]))


def test_the_store_of_layer_0_says_how_its_images_were_preprocessed(finished):
    attributes = zarr_store.open_store(finished.branch / "activations/layer_00/part_000.zarr").attributes
    assert (attributes["crop"], attributes["resize"]) == ("center", "uint8")
