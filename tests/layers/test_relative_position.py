# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.layers import RelativePositionBias, TransformerBlock
from keras_vit.layers.relative_position import relative_position_index
from tests.contracts import randomize, to_numpy


def test_equal_offsets_read_equal_rows_and_others_other_ones():
    index = relative_position_index((2, 3), class_token=False)
    offsets = {}
    for query in range(6):
        for key in range(6):
            offset = (query // 3 - key // 3, query % 3 - key % 3)
            offsets.setdefault(offset, set()).add(int(index[query, key]))
    assert sorted(row for rows in offsets.values() for row in rows) == list(range(3 * 5))


def test_the_class_token_reads_rows_of_its_own():
    index = relative_position_index((2, 3), class_token=True)
    np.testing.assert_array_equal(index[1:, 1:], relative_position_index((2, 3), False))
    assert set(index[0, 1:]) == {15} and set(index[1:, 0]) == {16} and index[0, 0] == 17


def test_the_bias_is_added_to_the_scores():
    relative = {"grid": (2, 2), "class_token": True}
    block = TransformerBlock(2, 4, attention={"relative_position_bias": relative})
    x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype("float32")
    block.build(x.shape)
    randomize(block)
    _, with_bias = block(x, return_attention_scores=True)
    layer = block.attention.relative_position_bias
    bias = to_numpy(layer(np.zeros((1, 5, 2, 4), "float32")))
    layer.table.assign(np.zeros((12, 2)))
    _, without = block(x, return_attention_scores=True)
    expected = to_numpy(without) * np.exp(bias)
    # Softmax and exp in float32.
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(with_bias), expected, atol=2e-6)


def test_another_number_of_tokens_is_refused():
    layer = RelativePositionBias((2, 3))
    with pytest.raises(UserError, match="expected the 6 tokens of a grid of 2 x 3, received 24"):
        layer(np.zeros((1, 24, 2, 4), "float32"))
