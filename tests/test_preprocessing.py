# SPDX-License-Identifier: MIT
import numpy as np
import tensorflow as tf

from keras_vit.data.pipeline import reading
from keras_vit.preprocessing import Preprocessing, View


def test_the_box_is_centred_and_has_the_aspect_ratio():
    assert Preprocessing((36, 36)).box(36, 60) == (0, 12, 36, 36)
    assert Preprocessing((20, 20), view=View(0.5)).box(36, 60) == (9, 21, 18, 18)
    assert Preprocessing((30, 50)).box(36, 60) == (0, 0, 36, 60)
    assert Preprocessing((8, 8), view=View(0.01)).box(3, 1) == (1, 0, 1, 1)
    assert Preprocessing((8, 6), 1).shape == (8, 6, 1)


def test_tensorflow_cuts_the_same_box(monkeypatch):
    """Both round alike: a box that is a pixel off would be another picture."""
    boxes = []
    cut = reading.cut
    monkeypatch.setattr(reading, "cut", lambda image, box: boxes.append(box) or cut(image, box))
    random = np.random.default_rng(0)
    for _ in range(200):
        height, width, *size = (int(side) for side in random.integers(1, 90, 4))
        crop = random.choice([1.0, 0.875, 0.95, 0.5, float(random.uniform(0.1, 1))])
        wanted = Preprocessing(tuple(size), 1, View(float(crop)))
        if crop == 1.0 and (height, width) == tuple(size):
            continue  # nothing is cut
        reading.resize_to_fit(tf.zeros([height, width, 1], tf.uint8), wanted)
        assert tuple(boxes[-1].numpy()) == wanted.box(height, width)
