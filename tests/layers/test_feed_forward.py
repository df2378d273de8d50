# SPDX-License-Identifier: MIT
import math

import numpy as np
import pytest

from keras_vit.layers import FeedForward
from keras_vit.layers.feed_forward import gelu
from tests.contracts import to_numpy


def test_gelu_is_its_definition():
    x = np.linspace(-6, 6, 101).astype("float32")
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    tanh = [
        0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
        for v in x.tolist()
    ]
    # float32 of numbers up to 6: a rounding is 5e-7.
    np.testing.assert_allclose(to_numpy(gelu(x)), exact, atol=2e-6)
    np.testing.assert_allclose(to_numpy(gelu(x, "gelu_tanh")), tanh, atol=2e-6)
    assert 1e-4 < np.abs(np.subtract(exact, tanh)).max() < 5e-4  # they are not the same


def test_each_token_is_alone():
    layer = FeedForward(16)
    x = np.random.default_rng(0).normal(size=(1, 4, 8)).astype("float32")
    whole = to_numpy(layer(x))
    for i in range(4):
        # The same products, perhaps blocked in another way.
        np.testing.assert_allclose(to_numpy(layer(x[:, i : i + 1]))[:, 0], whole[:, i], atol=1e-6)


def test_an_unknown_activation_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="gelu, gelu_tanh"):
        FeedForward(16, activation="quick")


def test_initial_values_are_the_published_ones():
    layer = FeedForward(1024)
    layer.build((None, 4, 256))
    limit = math.sqrt(6 / (256 + 1024))
    kernel = to_numpy(layer.hidden.kernel)
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    # 1,024 draws: known to 2.2 %.
    assert to_numpy(layer.hidden.bias).std() == pytest.approx(1e-6, rel=0.15)
