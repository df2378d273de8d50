# SPDX-License-Identifier: MIT
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.data import read_image
from keras_vit.data.pipeline.encoded import declared_pixels, jpeg_orientation, read_encoded
from keras_vit.preprocessing import Preprocessing, View
from keras_vit.untrusted.limits import IMAGE_PIXELS
from tests.contracts import slow_but

SIZE = (16, 24)


def encoded(format, orientation=None, **options):
    random = np.random.default_rng(0).integers(0, 256, (6, 8, 3), "uint8")
    image = Image.fromarray(random).resize((50, 37), Image.Resampling.BICUBIC)
    if orientation:
        options["exif"] = exif = Image.Exif()
        exif[0x010F] = "a maker"
        exif[0x0112] = orientation
    image = image.quantize(64) if format == "GIF" else image
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


FILES = {
    **{name: encoded(name) for name in ("JPEG", "PNG", "BMP", "GIF", "WEBP")},
    "WEBP lossless": encoded("WEBP", lossless=True),
    "WEBP extended": encoded("WEBP", orientation=1),
    **{f"JPEG turned {i}": encoded("JPEG", i) for i in range(1, 9)},
}


@pytest.fixture(scope="module")
def read():
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def read(contents):
        return read_encoded(contents, Preprocessing(SIZE, 3, View(0.9))), declared_pixels(contents)

    return read


@pytest.mark.parametrize("name", slow_but([*list(FILES)[:7], "JPEG turned 6"], FILES))
def test_the_pixels_are_those_of_evaluation(read, name):
    pixels, declared = read(FILES[name])
    expected = read_image(io.BytesIO(FILES[name]), Preprocessing(SIZE, 3, View(0.9)))
    # Two resizers in float32, of 255.
    np.testing.assert_allclose(pixels.numpy(), expected, atol=1e-3)
    assert int(declared) == 50 * 37


def test_grey():
    pixels = read_encoded(tf.constant(FILES["JPEG turned 6"]), Preprocessing(SIZE, 1))
    expected = read_image(io.BytesIO(FILES["JPEG turned 6"]), Preprocessing(SIZE, 1))
    np.testing.assert_allclose(pixels.numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("order", ["II", "MM"])
def test_orientation_in_both_byte_orders(order):
    endian = {"II": "little", "MM": "big"}[order]

    def number(value, count):
        return value.to_bytes(count, endian)

    entry = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(6, 2) + bytes(2)
    tiff = order.encode() + number(42, 2) + number(8, 4) + number(1, 2) + entry + bytes(4)
    segment = b"Exif\0\0" + tiff
    plain = FILES["JPEG"]
    jpeg = plain[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + plain[2:]
    assert Image.open(io.BytesIO(jpeg)).getexif()[0x0112] == 6
    assert int(jpeg_orientation(tf.constant(jpeg))) == 6


def test_a_pixel_bomb_is_refused_by_its_header(read):
    side = int(IMAGE_PIXELS**0.5) + 1
    png = bytearray(FILES["PNG"])
    png[16:24] = side.to_bytes(4, "big") * 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="assert"):
        read(bytes(png))


@pytest.mark.parametrize("contents", [b"", b"hello", b"\xff\xd8\xff", b"RIFF", b"BM", b"GIF8"])
def test_what_is_no_image_is_an_error(read, contents):
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(contents)


def test_a_palette_in_a_bmp_is_refused(read):
    """TensorFlow would take the numbers of its colors for greys."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), "uint8"))
    for mode in ("P", "1", "L"):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, "BMP")
        with pytest.raises(tf.errors.InvalidArgumentError, match="24 or 32 bits is expected"):
            read(buffer.getvalue())
