# SPDX-License-Identifier: MIT
import keras
import numpy as np
import pytest

from keras_vit import UserError, config_of, vit
from keras_vit.layers import PatchDropout
from tests.contracts import to_numpy
from tests.models.test_vit import tiny

TOKENS = np.arange(2 * 11 * 3, dtype="float32").reshape(2, 11, 3)  # 3 before 8 patches


def test_it_keeps_the_prefix_and_so_many_patches_in_each_example():
    layer = PatchDropout(0.4, num_prefix_tokens=3, seed=0)
    chosen = set()
    for _ in range(20):
        out = to_numpy(layer(TOKENS, training=True))
        assert out.shape == (2, 3 + 5, 3)  # round(0.6 * 8) patches
        np.testing.assert_array_equal(out[:, :3], TOKENS[:, :3])
        for example, tokens in zip(out, TOKENS, strict=True):
            rows = [int(np.flatnonzero((tokens == row).all(axis=1))[0]) for row in example[3:]]
            assert len(set(rows)) == 5 and min(rows) >= 3
            chosen.add(frozenset(rows))
    assert len(chosen) > 10  # of 40 draws from 56 sets


def test_nothing_happens_at_inference():
    layer = PatchDropout(0.4, 3)
    np.testing.assert_array_equal(to_numpy(layer(TOKENS)), TOKENS)


def test_one_patch_always_stays():
    assert to_numpy(PatchDropout(0.99, 3)(TOKENS, training=True)).shape[1] == 4


def test_a_rate_of_one_is_an_error():
    with pytest.raises(UserError, match="below 1"):
        PatchDropout(1.0)


def test_a_model_trains_on_fewer_patches_and_is_the_same_model():
    config = tiny(register_tokens=1)
    model, plain = vit(config, patch_dropout=0.5), vit(config)
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(x.shape[1])
            return x

    spied = keras.Model(model.input, Spy()(model.get_layer("block_00").output))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, *config.image_size, 3)).astype("float32")
    seen.clear()
    spied(pixels, training=True)
    spied(pixels, training=False)
    patches = config.num_patches
    assert seen == [2 + patches // 2, 2 + patches]
    assert config_of(model) == config
    plain.set_weights(model.get_weights())
    np.testing.assert_array_equal(to_numpy(plain(pixels)), to_numpy(model(pixels)))
