# SPDX-License-Identifier: MIT
import math

import numpy as np
import pytest

from keras_vit.layers import FeedForward
from keras_vit.layers.feed_forward import gelu, gelu_tanh, quick_gelu
from tests.contracts import randomize, to_numpy


def test_gelu_is_its_definition():
    x = np.linspace(-6, 6, 101).astype("float32")
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    tanh = [
        0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
        for v in x.tolist()
    ]
    # float32 of numbers up to 6: a rounding is 5e-7.
    np.testing.assert_allclose(to_numpy(gelu(x)), exact, atol=2e-6)
    np.testing.assert_allclose(to_numpy(gelu_tanh(x)), tanh, atol=2e-6)
    quick = x / (1 + np.exp(-1.702 * x))
    np.testing.assert_allclose(to_numpy(quick_gelu(x)), quick, atol=2e-6)
    assert 1e-2 < np.abs(quick - exact).max() < 2.1e-2
    assert 1e-4 < np.abs(np.subtract(exact, tanh)).max() < 5e-4  # they are not the same


def test_a_gate_multiplies_and_a_norm_follows():
    layer = FeedForward(6, "silu", gated=True, inner_norm=True, norm="rms", use_bias=False)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer.build(x.shape)
    randomize(layer)
    gate, hidden = x @ to_numpy(layer.gate.kernel), x @ to_numpy(layer.hidden.kernel)
    y = gate / (1 + np.exp(-gate)) * hidden
    y = y / np.sqrt(np.square(y).mean(-1, keepdims=True) + 1e-6) * to_numpy(layer.inner_norm.gamma)
    # float32 sums of six numbers of size 1.
    expected = y @ to_numpy(layer.output_projection.kernel)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=5e-6)


def test_each_token_is_alone():
    layer = FeedForward(16)
    x = np.random.default_rng(0).normal(size=(1, 4, 8)).astype("float32")
    whole = to_numpy(layer(x))
    for i in range(4):
        # The same products, perhaps blocked in another way.
        np.testing.assert_allclose(to_numpy(layer(x[:, i : i + 1]))[:, 0], whole[:, i], atol=1e-6)


def test_an_unknown_activation_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="Did you mean quick_gelu"):
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
