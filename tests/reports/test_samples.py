# SPDX-License-Identifier: MIT
import numpy as np
from PIL import Image

from keras_vit.reports import draw_samples
from keras_vit.reports.samples import label_text


def test_labels():
    classes = ["cat", "dog", "a very long name of a class"]
    assert label_text(np.array([0, 1.0, 0]), classes) == "dog"
    assert label_text(np.array([0.2, 0.8, 0]), classes) == "80% dog + 20% cat"
    assert label_text(np.array([0, 0, 1.0]), classes) == "a very long…"


def test_each_image_is_drawn(tmp_path):
    """Nine flat colors: each is found in the picture, near enough for JPEG."""
    values = np.arange(9) * 25 + 20
    images = np.broadcast_to(values[:, None, None, None], (9, 6, 4, 3)).astype("float32")
    path = draw_samples(tmp_path / "samples.jpg", images, np.eye(9), [str(i) for i in range(9)])
    assert [p.name for p in tmp_path.iterdir()] == ["samples.jpg"]
    found = np.asarray(Image.open(path).convert("L"))
    for value in values:
        assert (np.abs(found.astype(int) - value) <= 2).sum() > 500
