# SPDX-License-Identifier: MIT
import math

import numpy as np
import pytest

from keras_vit.layers import TransformerBlock
from tests.contracts import randomize, to_numpy


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(size=(2, 5, 8)).astype("float32")


def layer_norm(x, norm, epsilon=1e-6):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return scaled * to_numpy(norm.gamma) + to_numpy(norm.beta)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def in_numpy(block, x):
    """Equations 2 and 3, and appendix A, of the paper."""
    attention = block.attention
    y = layer_norm(x, block.attention_norm)

    def heads(dense):
        kernel, bias = to_numpy(dense.kernel), to_numpy(dense.bias)
        return np.einsum("btd,dhe->bhte", y, kernel) + bias[None, :, None]

    q, k, v = map(heads, (attention.query_dense, attention.key_dense, attention.value_dense))
    if attention.qk_norm:
        q, k = layer_norm(q, attention.query_norm), layer_norm(k, attention.key_norm)
    weights = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    out = attention.output_dense
    y = np.einsum("bhte,hed->btd", weights @ v, to_numpy(out.kernel)) + to_numpy(out.bias)
    if block.layer_scale is not None:
        y = y * to_numpy(block.attention_branch[0].gamma)
    x = x + y
    y = layer_norm(x, block.mlp_norm) @ to_numpy(block.mlp.hidden.kernel)
    y = y + to_numpy(block.mlp.hidden.bias)
    y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
    y = y @ to_numpy(block.mlp.output_projection.kernel) + to_numpy(
        block.mlp.output_projection.bias
    )
    if block.layer_scale is not None:
        y = y * to_numpy(block.mlp_branch[0].gamma)
    return x + y, weights


@pytest.mark.parametrize("options", [{}, {"layer_scale": 0.3, "attention": {"qk_norm": True}}])
def test_equations_2_and_3(x, options):
    block = TransformerBlock(2, 16, **options)
    block.build(x.shape)
    randomize(block)
    expected, expected_weights = in_numpy(block, x)
    y, weights = block(x, return_attention_scores=True)
    # float32 against float64 in places, through two normalisations.
    np.testing.assert_allclose(to_numpy(y), expected, atol=2e-5)
    np.testing.assert_allclose(to_numpy(weights), expected_weights, atol=2e-6)
    np.testing.assert_allclose(to_numpy(block(x)), expected, atol=2e-5)


def test_norms_after_the_branches(x):
    block = TransformerBlock(2, 16, norm_placement="after")
    block.build(x.shape)
    randomize(block)
    middle = x + layer_norm(to_numpy(block.attention(x, x)), block.attention_norm)
    expected = middle + layer_norm(to_numpy(block.mlp(middle)), block.mlp_norm)
    # As above.
    np.testing.assert_allclose(to_numpy(block(x)), expected, atol=2e-5)


def test_attention_of_a_case_made_by_hand():
    """Keys that are equal share the attention; a query that points at one key takes it all."""
    block = TransformerBlock(1, 4)
    x = np.array([[[1, -1, 0, 0], [1, -1, 0, 0], [0, 0, 1, -1]]], "float32")
    block.build(x.shape)
    identity = np.eye(4, dtype="float32")[:, None]
    block.attention.query_dense.kernel.assign(100 * identity)
    block.attention.key_dense.kernel.assign(identity)
    _, weights = block(x, return_attention_scores=True)
    expected = [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    # Softmax of 0 against 100 * 2 * sqrt(2) ** 2 / 2: what is left over is below float32.
    np.testing.assert_allclose(to_numpy(weights)[0, 0], expected, atol=1e-6)


def test_dropout_acts_in_training_alone(x):
    block = TransformerBlock(2, 16, dropout=0.5, attention_dropout=0.5, stochastic_depth=0.5)
    plain = to_numpy(block(x, training=False))
    np.testing.assert_array_equal(plain, to_numpy(block(x, training=False)))
    assert not np.allclose(plain, to_numpy(block(x, training=True)))


def test_attention_starts_as_glorot_of_the_whole_matrix():
    block = TransformerBlock(12, 64)
    block.build((None, 4, 768))
    limit = math.sqrt(6 / (768 + 768))  # 0.0625, as in Flax
    kernels = [
        to_numpy(getattr(block.attention, dense).kernel)
        for dense in ("query_dense", "key_dense", "value_dense", "output_dense")
    ]
    for kernel in kernels:
        assert np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    # Each is drawn by itself: the correlation of 590 thousand pairs is known to 0.0013.
    assert np.abs(np.corrcoef([k.ravel() for k in kernels]) - np.eye(4)).max() < 0.01


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="divide the width 8, received 3"):
        TransformerBlock(3, 16).build((None, 5, 8))
