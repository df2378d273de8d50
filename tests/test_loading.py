# SPDX-License-Identifier: MIT
"""One call from whatever holds a model to the Keras model with its class names."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1)).astype("float32")


@pytest.fixture(scope="module")
def run(digits_run):
    return digits_run[0]


def test_a_run_is_what_keras_reads_with_its_labels(run):
    model = keras_vit.load_model(run)
    assert model.labels == tuple("0123456789")
    logits = keras.saving.load_model(run / "model.keras").predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), logits)
    assert keras_vit.load_model(str(run / "model.keras")).labels == model.labels


def test_a_lone_file_has_no_labels(run, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes((run / "model.keras").read_bytes())
    assert keras_vit.load_model(path).labels is None


def test_another_size_keeps_the_labels_and_another_head_does_not(run):
    model = keras_vit.load_model(run, image_size=16)
    assert model.input_shape == (None, 16, 16, 1)
    assert model.labels == tuple("0123456789")
    assert keras_vit.load_model(run, num_classes=3).labels is None
    assert keras_vit.load_model(run, num_classes=0).labels is None


def test_a_foreign_checkpoint(tmp_path):
    config = keras_vit.ViTConfig.of(
        "Ti/16",
        image_size=16,
        patch_size=8,
        width=64,
        depth=1,
        num_heads=1,
        num_classes=4,
        activation="gelu_tanh",
    )
    model = keras_vit.vit(config)
    keras_vit.weights.save(model, tmp_path / "other.npz", dialect="flax")
    loaded = keras_vit.load_model(tmp_path / "other.npz")
    assert loaded.labels is None
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_holds_no_keras_model_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"exported file.*Predictor\.open"):
        keras_vit.load_model(run / "export" / "model.tflite")
    with pytest.raises(UserError, match=r"unknown weights 'B/17-i21k'\. Did you mean B/16-i21k"):
        keras_vit.load_model("B/17-i21k")
    with pytest.raises(UserError, match=r"no model\.keras"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "recipe.json").write_text("{}")
        keras_vit.load_model(tmp_path / "run")
    broken = tmp_path / "broken.keras"
    broken.write_bytes((run / "model.keras").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"broken\.keras: is not a \.keras file"):
        keras_vit.load_model(broken)


def test_labels_that_are_not_those_of_the_file_are_left_out(run, tmp_path):
    for name in ("model.keras", "recipe.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    assert keras_vit.load_model(tmp_path).labels is None
