# SPDX-License-Identifier: MIT
"""`create`: names and weights of every form."""

import re

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, config_of, create, vit
from keras_vit.weights import save

SIZE = {"image_size": 32}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A mu/16 with random weights, as an official file would have it."""
    model = vit(ViTConfig.of("mu/16", activation="gelu_tanh", num_classes=5, **SIZE))
    path = tmp_path_factory.mktemp("weights") / "mu_16.npz"
    save(model, path, "flax_published")
    return path


def test_random_weights():
    model = create("mu/16", num_classes=3, register_tokens=2, **SIZE)
    assert model.output.shape == (None, 3)
    assert config_of(model).register_tokens == 2
    with pytest.raises(UserError, match=r"Did you mean B/16"):
        create("Bb/16")


def test_weights_from_a_path(weights):
    assert create("mu/16", weights=weights).output.shape == (None, 5)
    model = create("mu/16", weights=str(weights), num_classes=0, image_size=64)
    assert model.output.shape == (None, 32)
    assert config_of(model).grid == (4, 4)


def test_weights_alone(weights, tmp_path):
    given = create("mu/16", weights=weights, num_classes=0)
    for name in (weights, str(weights)):
        features = create(name, num_classes=0)
        assert features.output.shape == (None, 32)
        assert config_of(features) == config_of(given)
    assert create(weights).output.shape == (None, 5)
    assert create(weights, num_classes=3, image_size=64).output.shape == (None, 3)


def test_features_are_what_the_head_reads(weights):
    model, features = create(weights), create(weights, num_classes=0)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    read = keras.Model(model.input, model.get_layer("head").input)
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(m(pixels)) for m in (read, features))
    )


def test_a_run_without_its_head(digits_run):
    folder, _ = digits_run
    model = create(folder, num_classes=0)
    assert model.output.shape == (None, config_of(model).width)


def test_what_goes_with_what(weights):
    with pytest.raises(UserError, match="names weights already"):
        create(weights, weights=weights)
    with pytest.raises(UserError, match="unknown option of load_model 'register_tokens'"):
        create(weights, register_tokens=2)
    with pytest.raises(UserError, match=r"no such file\. Expected a file of weights"):
        create("gone.npz", num_classes=0)


def test_weights_of_another_size(weights):
    with pytest.raises(UserError, match=re.escape("width 32 where B/16 has 768")):
        create("B/16", weights=weights)
    with pytest.raises(UserError, match="patch_size"):
        create("mu/8", weights=weights)
    assert config_of(create("mu/8", weights=weights, patch_size=8)).patch_size == (8, 8)


def test_an_unknown_name():
    with pytest.raises(UserError, match="Did you mean B/16-i21k"):
        create("B/16", weights="B/16-i21")


def test_every_intermediate_result_has_a_name(weights):
    model = create("mu/16", weights=weights)
    names = ("rescaling", "patches", "patch_encoder", "block_00", "encoder_norm", "pool")
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    outputs = taps(np.zeros((1, 32, 32, 3), np.float32))
    assert [tuple(output.shape) for output in outputs] == [
        (1, 32, 32, 3),
        (1, 4, 768),
        (1, 5, 32),
        (1, 5, 32),
        (1, 5, 32),
        (1, 32),
    ]
