# SPDX-License-Identifier: MIT
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.data.pipeline.decoding import decode
from keras_vit.data.pipeline.resampling import resampled

SIZE = (24, 32)


def picture(height, width):
    """Three planes with the spectrum of photographs, 1 / frequency, that have much in common."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    share = 1 / np.maximum(frequency, 1 / max(height, width))
    noise = (random.normal(size=(3, *share.shape, 2)) * share[..., None]) @ [1, 1j]
    light, *colors = np.fft.irfft2(noise, s=(height, width))  # (3, height, width)
    planes = np.stack([light, *(light + 0.3 * color for color in colors)], -1)
    return (127 + 50 * planes / planes.std()).clip(0, 255).astype("uint8")


@pytest.fixture(
    scope="module", params=[2, pytest.param(0, marks=pytest.mark.slow)], ids=["4:2:0", "4:4:4"]
)
def contents(request):
    stream = io.BytesIO()
    Image.fromarray(picture(601, 803)).save(stream, "JPEG", quality=90, subsampling=request.param)
    return stream.getvalue()


def seen(contents, box, size, interpolation="triangle"):
    part = decode(tf.constant(contents), 3, lambda shape: tf.constant(box), size=size)
    return part.shape[:2], resampled(part, SIZE, interpolation).numpy()


@pytest.mark.parametrize(
    ("box", "reduced"),
    [
        ((8, 16, 95, 320), 1),  # 3.96 times the height of `SIZE`
        ((40, 400, 96, 128), 2),
        ((0, 0, 192, 360), 4),
        ((216, 288, 384, 512), 8),
    ],
)
def test_what_is_shrunk_a_lot_is_decoded_at_a_scale(contents, box, reduced):
    shape, found = seen(contents, box, SIZE)
    assert shape == (box[2] // reduced, box[3] // reduced)
    whole, bicubic = (seen(contents, box, None, kind)[1] for kind in ("triangle", "bicubic"))
    error = np.abs(found - whole)
    # The filter of libjpeg is sharper than a triangle: 1.53 and 7.5 at most here, about half of
    # what bicubic, sharper too, makes of it (2.9 to 3.2 on average).
    assert error.mean() < 1.6 and error.max() <= 8
    assert error.mean() < 0.6 * np.abs(bicubic - whole).mean()
    assert reduced > 1 or not error.any()


def test_the_scale_is_that_of_pillow(contents):
    image = Image.open(io.BytesIO(contents))
    image.draft("RGB", (200, 150))  # a quarter, rounded up
    expected = np.asarray(image)[10:, 7:]
    box = (40, 28, 601 - 40, 803 - 28)  # whole pixels of the quarter, as many as there are
    part = decode(tf.constant(contents), 3, lambda shape: tf.constant(box), size=(60, 60)).numpy()
    np.testing.assert_array_equal(part, expected[: part.shape[0], : part.shape[1]])
    assert part.shape == (140, 193, 3)
