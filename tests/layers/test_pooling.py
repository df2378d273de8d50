# SPDX-License-Identifier: MIT
"""One token, an average, and attention."""

import numpy as np
import pytest

from keras_vit.layers import AttentionPool, TokenPool
from tests.contracts import randomize, to_numpy


@pytest.fixture
def x():
    return np.random.default_rng(4).normal(size=(2, 6, 8)).astype("float32")


def test_token_reads_the_class_or_the_distillation_token(x):
    np.testing.assert_array_equal(to_numpy(TokenPool("token", 1)(x)), x[:, 0])
    np.testing.assert_array_equal(to_numpy(TokenPool("token", 2, index=1)(x)), x[:, 1])


def test_average_leaves_prefix_tokens_out(x):
    # A mean of four float32 numbers.
    np.testing.assert_allclose(to_numpy(TokenPool("average", 2)(x)), x[:, 2:].mean(1), atol=1e-6)


def test_a_pool_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="num_prefix_tokens=0"):
        TokenPool("token", 0)
    with pytest.raises(ValueError, match="average, token"):
        TokenPool("maximum")


def test_attention_pool_does_not_care_for_order(x):
    pool = AttentionPool(2, 16)
    pool.build(x.shape)
    randomize(pool)
    # The same sums in another order.
    np.testing.assert_allclose(to_numpy(pool(x)), to_numpy(pool(x[:, ::-1])), atol=1e-5)
    _, weights = pool(x, return_attention_scores=True)
    assert weights.shape == (2, 2, 1, 6)
    np.testing.assert_allclose(to_numpy(weights).sum(-1), 1, atol=1e-6)
