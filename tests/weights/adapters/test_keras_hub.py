# SPDX-License-Identifier: MIT
"""Presets of KerasHub, where it is installed."""

import json

import keras
import numpy as np
import pytest

from keras_vit import UserError, config_of
from keras_vit.weights import load_model


def test_another_preset(tmp_path):
    (tmp_path / "model.weights.h5").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "BertBackbone"}))
    with pytest.raises(UserError, match="received BertBackbone"):
        load_model(tmp_path)


@pytest.mark.parametrize("with_head", [True, False])
def test_a_preset(tmp_path, with_head):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(16, 24, 3), patch_size=4, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48
    )
    theirs = backbone
    if with_head:
        theirs = keras_hub.models.ViTImageClassifier(
            backbone=backbone, num_classes=5, pooling="token", preprocessor=None
        )
    rng = np.random.default_rng(0)
    for variable in theirs.weights:
        variable.assign(rng.standard_normal(variable.shape) * 0.2)
    theirs.save_to_preset(str(tmp_path / "x"))
    ours = load_model(tmp_path / "x")
    assert config_of(ours).grid == (4, 6)
    images = rng.uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(theirs(images, training=False))
    expected = expected if with_head else expected[:, 0]
    result = keras.ops.convert_to_numpy(ours((images + 1) * 127.5, training=False))
    assert np.abs(result - expected).max() < 2e-5
