# SPDX-License-Identifier: MIT
"""From the bytes of one image file to a model's pixels, in a TensorFlow graph.

For exported models, which read what strangers send: the header is checked before anything is
decoded. The pixels are those of `keras_vit.data.read_image`, EXIF orientation of JPEG included.
"""

import tensorflow as tf

from keras_vit.data.pipeline.decoding import decode_in_graph, upright
from keras_vit.data.pipeline.reading import resize_to_fit
from keras_vit.preprocessing import Preprocessing
from keras_vit.untrusted import limits

_HEADER = 1 << 17  # bytes in which a JPEG's EXIF segment is looked for; it is the first or second


def read_encoded(contents, preprocessing: Preprocessing):
    """Reads one encoded image as evaluation does.

    Args:
        contents: string scalar, a JPEG, PNG, BMP without a palette, GIF (its first frame) or WebP
            file.
        preprocessing: what is made of the image.

    Returns:
        float32 `(height, width, channels)`, 0 to 255.

    Raises:
        tf.errors.InvalidArgumentError: when run on anything else, or on an image whose header
            declares more pixels than the limit of `read_image`.
    """
    pixels = declared_pixels(contents)
    checks = [
        tf.debugging.assert_less_equal(pixels, tf.constant(limits.IMAGE_PIXELS, tf.int64)),
        tf.debugging.Assert(_is_decoded_right(contents), ["a BMP of 24 or 32 bits is expected"]),
    ]
    with tf.control_dependencies(checks):
        contents = tf.identity(contents)
    image = decode_in_graph(contents, preprocessing.channels)
    image = upright(image, jpeg_orientation(contents))
    image = tf.ensure_shape(image, [None, None, preprocessing.channels])
    return resize_to_fit(tf.cast(image, tf.float32), preprocessing)


def _is_decoded_right(contents):
    """Whether TensorFlow decodes an image to what it shows, if at all: of a BMP with a palette it
    takes the numbers of the colors for greys."""

    def bmp():
        bits, packing = _number(contents, 28, 2), _number(contents, 30, 4)
        return ((bits == 24) & (packing == 0)) | ((bits == 32) & ((packing == 0) | (packing == 3)))

    is_bmp = tf.strings.substr(contents, 0, 2) == b"BM"
    return tf.cond(is_bmp, bmp, lambda: tf.constant(True))


def declared_pixels(contents):
    """Height times width from the header of an image file, int64; 0 for an unknown format."""

    # Of each format: where the header has width and height, as (start, bytes).
    def png():
        return _number(contents, 16, 4, "big") * _number(contents, 20, 4, "big")

    def gif():
        return _number(contents, 6, 2) * _number(contents, 8, 2)

    def bmp():  # a negative height means rows from the top
        width, height = (tf.cast(_number(contents, i, 4), tf.uint32) for i in (18, 22))
        sides = [tf.abs(tf.cast(tf.bitcast(side, tf.int32), tf.int64)) for side in (width, height)]
        return sides[0] * sides[1]

    def jpeg():
        shape = tf.io.extract_jpeg_shape(contents, tf.int64)
        return shape[0] * shape[1]

    def starts(magic: bytes):
        return tf.strings.substr(contents, 0, len(magic)) == magic

    return tf.case(
        [
            (tf.io.is_jpeg(contents), jpeg),
            (starts(b"\x89PNG"), png),
            (starts(b"GIF8"), gif),
            (starts(b"BM"), bmp),
            (starts(b"RIFF"), lambda: _webp_pixels(contents)),
        ],
        default=lambda: tf.constant(0, tf.int64),
    )


def _webp_pixels(contents):
    """Height times width from the header of a WebP file, int64.

    There are three layouts, told apart by the name of the first chunk: the lossless one packs two
    numbers of 14 bits, each less by one, and the lossy one has 2 bits of scale above each.
    """
    kind = tf.strings.substr(contents, 12, 4)
    packed = _number(contents, 21, 4)
    lossless = (packed % 2**14 + 1) * (packed // 2**14 % 2**14 + 1)
    extended = (_number(contents, 24, 3) + 1) * (_number(contents, 27, 3) + 1)
    lossy = (_number(contents, 26, 2) % 2**14) * (_number(contents, 28, 2) % 2**14)
    return tf.where(kind == b"VP8X", extended, tf.where(kind == b"VP8L", lossless, lossy))


def jpeg_orientation(contents):
    """EXIF orientation of a JPEG file, int32, 1 (upright) to 8; 1 for any other file.

    Walks the segments of the header to the one that starts with "Exif", and looks for tag 0x0112 in
    the first directory of the TIFF structure inside (CIPA DC-008, sections 4.5 and 4.6).
    """
    header = tf.strings.substr(contents, 0, _HEADER)
    data = tf.cast(tf.io.decode_raw(header, tf.uint8), tf.int64)
    size = tf.size(data, tf.int64)
    data = tf.concat([data, [0]], axis=0)  # what is read after the end is 0

    def number(start, count: int, little=False):
        """The whole number of `count` bytes at each start; `start` is a scalar or `(n,)`."""
        parts = [tf.gather(data, tf.clip_by_value(start + i, 0, size)) for i in range(count)]
        big = sum(part * 256 ** (count - 1 - i) for i, part in enumerate(parts))
        return tf.where(little, sum(part * 256**i for i, part in enumerate(parts)), big)

    def is_exif(position):
        marker = number(position, 2) == 0xFFE1
        name = number(position + 4, 6) == int.from_bytes(b"Exif\0\0", "big")
        return tf.logical_and(marker, name)

    def goes_on(position):
        marker = number(position, 2)
        segment = tf.logical_and(marker >= 0xFFC0, marker != 0xFFDA)  # 0xFFDA: pixels follow
        return tf.logical_and(segment, tf.logical_not(is_exif(position)))

    def next_segment(position):
        return [position + 2 + tf.maximum(number(position + 2, 2), 2)]

    def orientation():
        start = tf.while_loop(goes_on, next_segment, [tf.constant(2, tf.int64)])[0]
        tiff = start + 10  # after the marker, the length of the segment, and "Exif" with two zeros
        little = number(tiff, 2) == int.from_bytes(b"II", "big")
        directory = tiff + number(tiff + 4, 4, little)
        # 2 bytes of count, then 12 for each entry: tag, type, count (4 bytes), value (4 bytes).
        entries = tf.range(tf.minimum(number(directory, 2, little), 1000)) * 12 + directory + 2
        wanted = number(entries, 2, little) == 0x0112
        value = tf.reduce_max(tf.where(wanted, number(entries + 8, 2, little), 0))
        valid = is_exif(start) & (value >= 1) & (value <= 8)
        return tf.cast(tf.where(valid, value, 1), tf.int32)

    return tf.cond(tf.io.is_jpeg(contents), orientation, lambda: tf.constant(1))


def _number(contents, start: int, count: int, order: str = "little"):
    data = tf.io.decode_raw(tf.strings.substr(contents, start, count), tf.uint8)  # (count,)
    powers = [256**i for i in range(count)]
    powers = powers if order == "little" else powers[::-1]
    # A header that ends early has another length: the product fails, and with it the image.
    return tf.reduce_sum(tf.cast(data, tf.int64) * tf.constant(powers, tf.int64))
