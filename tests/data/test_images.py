# SPDX-License-Identifier: MIT
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_vit import UserError
from keras_vit.data import images
from keras_vit.data.checks.examine import examine, problems_of
from keras_vit.preprocessing import Preprocessing


@pytest.fixture
def pixels():
    small = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype("uint8")
    return np.asarray(Image.fromarray(small).resize((60, 36)))


def save(path, pixels, orientation=None, **options):
    image = Image.fromarray(pixels)
    if orientation:
        options["exif"] = image.getexif()
        options["exif"][0x0112] = orientation
    image.save(path, **options)
    return path


def png_header(width, height):
    """A PNG file of one bit to a pixel that ends where its pixels would begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + check + b"\0\0\0\0IDAT"


def test_a_file_of_the_right_size_is_read_as_it_is(tmp_path, pixels):
    read = images.read_image(save(tmp_path / "a.png", pixels), Preprocessing((36, 60)))
    np.testing.assert_array_equal(read, pixels)
    assert read.dtype == np.float32


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, pixels, orientation):
    path = save(tmp_path / "a.png", pixels, orientation)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert examine(str(path)).orientation == orientation
    np.testing.assert_array_equal(
        images.read_image(path, Preprocessing(upright.shape[:2])), upright
    )


def test_the_centre_is_cropped_to_the_aspect_ratio(pixels):
    # 36 x 60 into a square: 12 columns fall away on each side.
    square = images.resize_to_fit(pixels, Preprocessing((36, 36)))
    np.testing.assert_array_equal(square, pixels[:, 12:48])


def test_kinds_of_files(tmp_path, pixels):
    for name in ("a.png", "a.bmp", "a.gif", "a.webp", "a.jpg"):
        read = images.read_image(save(tmp_path / name, pixels), Preprocessing((36, 60)))
        # GIF has 256 colors, WebP and JPEG lose some.
        assert np.abs(read - pixels).mean() < (0.1 if name in ("a.png", "a.bmp") else 12)
    grey16 = (np.arange(36 * 60).reshape(36, 60) * 30).astype("uint16")
    Image.fromarray(grey16).save(tmp_path / "grey16.png")
    read = images.read_image(tmp_path / "grey16.png", Preprocessing((36, 60), channels=1))
    np.testing.assert_array_equal(read[..., 0], grey16 >> 8)  # Pillow alone would clip to white
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg")
    assert images.read_image(tmp_path / "cmyk.jpg", Preprocessing((36, 60))).shape == (36, 60, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "not a readable image"),
        ("truncated", "cannot be decoded"),
        ("bomb", "more than the limit"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(tmp_path, pixels, content, message):
    path = tmp_path / "bad.jpg"
    if content == "truncated":
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        content = buffer.getvalue()[:-200]
    elif content == "bomb":
        content = png_header(20_000, 20_000)
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        images.read_image(path, Preprocessing((8, 8)))
    assert str(path) in str(error.value)
    assert problems_of([str(path)]) == [str(error.value)]
