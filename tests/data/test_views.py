# SPDX-License-Identifier: MIT
"""A file is seen as timm, torchvision and transformers see it, by the words of their own files.

`tests/fixtures/make_views.py` made the pixels.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_vit.data.images import read_image
from keras_vit.data.pipeline.encoded import read_encoded
from keras_vit.preprocessing import FRAMINGS, INTERPOLATIONS, Preprocessing, View
from keras_vit.weights import views
from tests.conftest import arrays_in

FOLDER = Path(__file__).parents[1] / "fixtures" / "views"
CASES = json.loads((FOLDER / "cases.json").read_text())["cases"]
READERS = {"timm": views.of_timm, "transformers": views.of_transformers}
PICTURES = ("wide", "tall")


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_those_of_their_library(case):
    row = CASES[case]
    view = READERS[row["library"]](row["told"], case)
    expected = arrays_in(FOLDER / "expected.npz")
    for name in PICTURES:
        found = read_image(FOLDER / f"{name}.png", Preprocessing(tuple(row["image_size"]), 3, view))
        difference = np.abs(found - expected[f"{case}/{name}"])
        # They round to whole values after each of two passes, the first of which is filtered again:
        # 0.5 + 0.5 times the sum of a filter's absolute weights, up to 1.3 for "lanczos".
        assert difference.max() < 1.2, name
        assert difference.mean() < 0.35, name


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_tensorflow_sees_the_same(framing, interpolation):
    """Of every size, enlarged too, as in training, in SavedModels and in predictions."""
    for size, crop in (((24, 24), 0.875), ((24, 40), 1.0), ((120, 90), 0.9)):
        seen = Preprocessing(size, 3, View(crop, framing, interpolation))
        for name in PICTURES:
            path = FOLDER / f"{name}.png"
            found = read_encoded(tf.constant(path.read_bytes()), seen)
            # TensorFlow has places and weights in float32; the largest here is 0.0006.
            np.testing.assert_allclose(found, read_image(path, seen), atol=5e-3)


def test_what_overshoots_is_cut_off(tmp_path):
    from PIL import Image

    edge = np.zeros((40, 40, 3), "uint8")
    edge[:, 17:] = 255
    Image.fromarray(edge).save(tmp_path / "edge.png")
    for interpolation in INTERPOLATIONS:
        seen = Preprocessing((30, 30), 3, View(1.0, "squash", interpolation))
        pixels = read_image(tmp_path / "edge.png", seen)
        assert pixels.min() == 0 and pixels.max() == 255
