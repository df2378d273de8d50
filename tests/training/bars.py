# SPDX-License-Identifier: MIT
"""Images that a tiny model learns in seconds."""

import numpy as np

from keras_vit.data import from_arrays


def bars(count, shape):
    """`count` images of two classes, by turns: bright above, or bright below."""
    labels, half = np.arange(count) % 2, shape[0] // 2
    pixels = np.random.default_rng(0).integers(0, 40, (count, *shape))
    pixels[labels == 0, :half] += 200
    pixels[labels == 1, half:] += 200
    return from_arrays(pixels.astype("uint8"), labels, ["above", "below"], name="bars")
