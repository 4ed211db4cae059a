"""Image files of every mode, and everything that can be wrong with them."""

import struct

import numpy as np
import pytest
from PIL import Image
from small_datasets import one_line, raw_tensors
from tokengeometry.data import download, splits
from tokengeometry.errors import StudyError
from torchvision.transforms.functional import pil_to_tensor


def rgb(path, white=None):
    """The (row, column, rgb) uint8 pixels that the study gets of an image file."""
    dataset = splits.open_split("ImageFolder", {"root": str(path.parent.parent)}, ".", white)
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
        ("I;16", "deep.tif", 257 * 99, (99, 99, 99)),
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


@pytest.mark.parametrize("depth", [300, 1023, 4095])
def test_a_pgm_says_its_white_itself(image_file, depth):
    path = image_file("deep.pgm")
    path.write_bytes(b"P5 3 1 %d\n" % depth + np.array([0, depth // 3, depth], ">u2").tobytes())
    np.testing.assert_array_equal(rgb(path)[0, :, 0], np.rint(np.array([0, depth // 3, depth]) * 255 / depth))


def write_grey_tiff(path, samples, bits, photometric):
    """A TIFF of one row as its specification has it, for what Pillow can't write."""
    short, long = 3, 4
    content = int("".join(f"{sample:0{bits}b}" for sample in samples), 2)
    strip = content.to_bytes(len(samples) * bits // 8, "big")
    # Width, height, bits, compression, photometric, offset, samples, rows, bytes of the strip.
    tags = [(256, short, len(samples)), (257, short, 1), (258, short, bits), (259, short, 1), (262, short, photometric)]
    tags += [(273, long, 8), (277, short, 1), (278, short, 1), (279, long, len(strip))]
    padded = strip.ljust(-(-len(strip) // 2) * 2, b"\0")
    entries = b"".join(struct.pack("<HHI" + ("HH" if k == short else "I"), t, k, 1, *([v, 0] if k == short else [v]))
                       for t, k, v in tags)  # fmt: skip
    header = b"II*\0" + struct.pack("<I", 8 + len(padded))
    path.write_bytes(header + padded + struct.pack("<H", len(tags)) + entries + bytes(4))


@pytest.mark.parametrize(("photometric", "expected"), [(1, [0, 128, 255]), (0, [255, 127, 0])])
def test_a_tiff_says_its_bits_and_which_end_is_white(image_file, photometric, expected):
    path = image_file("scan.tif")
    write_grey_tiff(path, [0, 128, 255], 8, photometric)
    np.testing.assert_array_equal(rgb(path)[0, :, 0], expected)
    # The same picture in 16 bits; the strip's bytes are little-endian.
    write_grey_tiff(path, [0, 0x8080, 0xFFFF], 16, photometric)
    np.testing.assert_array_equal(rgb(path)[0, :, 0], expected)
    if photometric == 1:
        write_grey_tiff(path, [0, 2056, 4095, 0], 12, photometric)
        np.testing.assert_array_equal(rgb(path)[0, :3, 0], expected)


DEEP = {"int32": np.int32, "float32": np.float32}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("largest", [0.9, 255, 65535])
def test_a_32_bit_image_without_a_known_white_is_refused(image_file, kind, largest):
    Image.fromarray(np.array([[0, largest]], DEEP[kind])).save(image_file("wide.tif"))
    with pytest.raises(StudyError, match=r"wide\.tif.*32-bit (int|float).*datasets\.NAME\.white") as error:
        rgb(image_file("wide.tif"))
    one_line(error)


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("white", [255, 65535.0, 1000])
def test_one_white_is_that_of_all_pictures_dark_ones_too(image_file, kind, white):
    bright = np.linspace(0, white, 52).astype(DEEP[kind])[None]
    for name, pixels in {"bright.tif": bright, "dark.tif": bright / 255}.items():
        Image.fromarray(pixels.astype(DEEP[kind])).save(image_file(name))
        expected = np.rint(pixels.astype(DEEP[kind]) / np.float64(white) * 255)
        np.testing.assert_array_equal(rgb(image_file(name), white)[..., 0], expected)


@pytest.mark.parametrize("values", [[-1, 5], [0, 256], [0, np.nan]])
def test_pixels_beyond_the_white_are_refused(image_file, values):
    Image.fromarray(np.array([values], np.float32)).save(image_file("wide.tif"))
    with pytest.raises(StudyError, match=r"wide\.tif.*255 \(datasets\.NAME\.white"):
        rgb(image_file("wide.tif"), white=255)


def test_white_changes_no_image_that_says_its_own(image_file):
    Image.fromarray(np.array([[0, 77]], np.uint8)).save(image_file("grey.png"))
    Image.fromarray(np.array([[0, 257 * 77]], np.uint16)).save(image_file("deep.png"))
    for name in ("grey.png", "deep.png"):
        assert rgb(image_file(name), white=1.0)[0, :, 0].tolist() == [0, 77]


def test_a_class_that_opens_files_itself_gets_the_same_white(image_file):
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(image_file("unit.tif"))
    opening = Opening(image_file("unit.tif"), listed=True)
    with pytest.raises(StudyError, match=r"unit\.tif.*white"):
        raw_tensors(opening, [0])
    opening.white = 1.0
    assert raw_tensors(opening, [0])[0, 0].tolist() == [[0, 128, 255]]


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
        download.fetch("ImageFolder", {"all": {"root": str(tmp_path / "images")}}, tmp_path)
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
        splits.Images(Opening(path, listed), [0], pil_to_tensor)[0]
    assert (str(path) if listed else "image 0 of Opening") in one_line(error)
