# SPDX-License-Identifier: MIT
"""Another head, image size or patch size than the file has."""

import logging

import keras
import numpy as np
import pytest

from keras_vit import UserError, config_of
from keras_vit.weights import load_model
from tests.weights.fixtures import (
    FLAX,
    FOLDER,
    run,
    stored,
)


def test_a_new_head_starts_from_zero_and_says_so(caplog):
    path = FOLDER / "vit_jax_token_prelogits_published_names.npz"
    pixels, _ = stored(path)
    with caplog.at_level(logging.WARNING):
        model = load_model(path, num_classes=3)
    assert "7 classes and the tanh layer before it is replaced by one for 3" in caplog.text
    assert config_of(model).representation_size == 0
    assert np.array_equal(run(model, pixels), np.zeros((2, 3)))
    assert load_model(path, num_classes=7).output.shape == (None, 7)


def test_without_classes_it_returns_the_representation():
    path = FOLDER / "timm_distilled.safetensors"
    pixels, _ = stored(path)
    whole = load_model(path, num_heads=2)
    model = load_model(path, num_heads=2, num_classes=0)
    names = ("pool", "distillation_pool")
    tokens = keras.Model(whole.input, [whole.get_layer(name).output for name in names])
    first, second = map(keras.ops.convert_to_numpy, tokens(pixels))
    # As in timm, whose own answer is the fixture timm_distilled_no_head.
    assert np.array_equal(run(model, pixels), (first + second) / 2)


def test_another_image_and_patch_size():
    model = load_model(FLAX, image_size=(48, 64))
    assert config_of(model).grid == (6, 8)
    table = model.get_layer("patch_encoder").position_embedding
    assert table.shape == (1, 49, 48)
    finer = load_model(FLAX, patch_size=16)
    assert config_of(finer).image_size == (64, 64)
    # Twice the pixels in patches of twice the size: nearly the tokens, and the logits, of before.
    pixels, logits = stored(FLAX)
    smooth = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2)
    assert np.abs(run(finer, smooth) - logits).max() < 0.5 * np.abs(logits).max()
    with pytest.raises(UserError, match="Did you mean bilinear"):
        load_model(FLAX, resample="bilinea")
