"""Image files of every mode, and everything that can be wrong with them."""

import numpy as np
import pytest
from PIL import Image
from small_datasets import one_line, raw_tensors
from tokengeometry import datasets, fetching
from tokengeometry.errors import StudyError
from torchvision.transforms.functional import pil_to_tensor


def rgb(path):
    """The (row, column, rgb) uint8 pixels that the study gets of an image file."""
    dataset = datasets.open_split("ImageFolder", {"root": str(path.parent.parent)}, ".")
    index = [sample for sample, _ in dataset.samples].index(str(path))
    return raw_tensors(dataset, [index])[0].transpose(1, 2, 0)


@pytest.fixture
def image_file(tmp_path):
    (tmp_path / "images" / "some").mkdir(parents=True)
    return lambda name: tmp_path / "images" / "some" / name


@pytest.mark.parametrize(
    ("mode", "name", "value", "expected"),
    [
        ("1", "bit.png", 1, (255, 255, 255)),
        ("L", "grey.png", 77, (77, 77, 77)),
        ("LA", "grey-alpha.png", (77, 128), (77, 77, 77)),
        ("RGB", "colour.png", (1, 2, 3), (1, 2, 3)),
        ("RGBA", "alpha.png", (10, 20, 30, 128), (10, 20, 30)),
        ("CMYK", "print.tif", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", "black.tif", (0, 0, 0, 255), (0, 0, 0)),
        ("F", "unit.tif", 0.4, (102, 102, 102)),
        ("F", "bytes.tif", 200.4, (200, 200, 200)),
        ("I", "int.tif", 257 * 99, (99, 99, 99)),
    ],
)
def test_every_mode_becomes_rgb(image_file, mode, name, value, expected):
    Image.new(mode, (5, 4), value).save(image_file(name))
    with Image.open(image_file(name)) as saved:
        assert saved.mode == mode
    found = rgb(image_file(name))
    assert found.shape == (4, 5, 3)
    assert (found == expected).all()


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"])
@pytest.mark.filterwarnings("error")
def test_palette_images_keep_their_colours(image_file, transparency):
    image = Image.new("P", (3, 1))
    colours = [(255, 0, 0), (0, 200, 0), (0, 0, 99)]
    image.putpalette([channel for colour in colours for channel in colour])
    for column in range(3):
        image.putpixel((column, 0), column)
    image.save(image_file("palette.png"), **({} if transparency is None else {"transparency": transparency}))
    with Image.open(image_file("palette.png")) as saved:
        assert saved.mode == "P"
        assert ("transparency" in saved.info) == (transparency is not None)
    np.testing.assert_array_equal(rgb(image_file("palette.png"))[0], colours)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled_and_not_clipped(image_file, suffix):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    path = image_file(f"deep.{suffix}")
    if suffix == "pgm":
        path.write_bytes(b"P5 16 16 65535\n" + ramp.astype(">u2").tobytes())
    else:
        Image.fromarray(ramp).save(path)
    with Image.open(path) as saved:
        assert saved.mode.startswith("I")
    found = rgb(path)
    np.testing.assert_array_equal(found[..., 0], np.arange(256).reshape(16, 16))
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536]])
def test_a_32_bit_image_without_a_known_white_is_refused(image_file, values):
    Image.fromarray(np.array([values], np.int32)).save(image_file("wide.tif"))
    with pytest.raises(StudyError, match=r"wide\.tif.*0 to 65535"):
        rgb(image_file("wide.tif"))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_of_an_animation_is_taken(image_file, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = image_file(f"moving.{suffix}")
    frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
    with Image.open(path) as saved:
        assert saved.n_frames == 2
    if suffix == "gif":
        # torchvision lists no .gif; Pillow goes by the content.
        path = path.rename(path.with_suffix(".png"))
    assert (rgb(path) == (250, 0, 0)).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_a_truncated_image_is_named(image_file, rng, suffix, kept):
    path = image_file(f"cut.{suffix}")
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(StudyError) as error:
        rgb(path)
    assert str(path) in one_line(error)


def test_a_file_that_is_no_image_is_named_before_the_compute(image_file, tmp_path):
    image_file("notes.png").write_text("not an image")
    with pytest.raises(StudyError) as error:
        fetching.fetch("ImageFolder", {"all": {"root": str(tmp_path / "images")}}, tmp_path)
    assert str(image_file("notes.png")) in one_line(error)


class Opening:
    """A data set whose own code opens the files, as many of torchvision's do."""

    def __init__(self, path, listed):
        self.path = path
        if listed:
            self.samples = [(str(path), 0)]

    def __getitem__(self, index):
        return Image.open(self.path), 0


@pytest.mark.parametrize("listed", [True, False])
def test_a_broken_image_is_named_by_its_path_or_else_its_index(image_file, rng, listed):
    path = image_file("cut.png")
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(StudyError) as error:
        datasets.Images(Opening(path, listed), [0], pil_to_tensor)[0]
    assert (str(path) if listed else "image 0 of Opening") in one_line(error)
