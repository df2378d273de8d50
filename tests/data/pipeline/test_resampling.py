# SPDX-License-Identifier: MIT
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.data.pipeline.resampling import resampled

RANDOM = np.random.default_rng(0)
KERNELS = {"triangle": "triangle", "bicubic": "keyscubic", "lanczos": "lanczos3"}


def noise(*shape):
    return RANDOM.integers(0, 256, shape).astype("uint8")


@pytest.mark.parametrize("name", KERNELS)
def test_the_bits_are_those_of_the_operator_of_both_sides(name):
    """Larger, smaller, one of each, and a part of the result."""
    for shape in ((36, 60, 3), (9, 70, 3), (41, 13, 1)):
        for dtype in ("uint8", "float32"):
            image = tf.constant(noise(*shape).astype(dtype))
            for size, shift in (((20, 24), (0.0, 0.0)), ((13, 31), (4.0, 2.5))):
                resized = np.add(size, np.multiply(shift, 2))
                scale = tf.constant(resized / shape[:2], tf.float32)
                expected = tf.raw_ops.ScaleAndTranslate(
                    images=image[None],
                    size=size,
                    scale=scale,
                    translation=-tf.constant(shift, tf.float32),
                    kernel_type=KERNELS[name],
                )[0]
                found = resampled(image, size, name, shift, scale)
                np.testing.assert_array_equal(found, np.clip(expected, 0, 255))


@pytest.mark.parametrize(
    ("name", "resampling"),
    [("triangle", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)],
)
def test_an_image_is_resized_as_pillow_does(name, resampling):
    photo = np.asarray(Image.fromarray(noise(6, 10, 3)).resize((60, 36)))
    for size in ((20, 24), (50, 70)):
        result = resampled(tf.constant(photo), size, name).numpy()
        expected = np.asarray(Image.fromarray(photo).resize(size[::-1], resampling)).astype(int)
        # Pillow rounds to whole numbers after each of the two passes, and the weights of bicubic,
        # some of them negative, enlarge the first error.
        np.testing.assert_allclose(result, expected, atol=1.5)
        assert result.min() >= 0 and result.max() <= 255
