# SPDX-License-Identifier: MIT
import keras
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.analysis import (
    artefacts,
    effective_rank,
    patch_filters,
    position_similarity,
    token_norms,
    token_similarity,
)
from keras_vit.analysis import tokens as room
from keras_vit.models import blocks
from tests.contracts import randomize, to_numpy
from tests.models.test_vit import tiny


def make(**options):
    model = vit(tiny(**options))
    randomize(model)
    return model


def test_positions_by_hand():
    model = make(register_tokens=1)
    table = np.random.default_rng(0).normal(size=(1, 25, 16)).astype("float32")
    table[0, 2] = -3 * table[0, 1]  # patches (0, 0) and (0, 1), after the class token's row
    model.get_layer("patch_encoder").position_embedding.assign(table)
    found = position_similarity(model)
    assert found.shape == (4, 6, 4, 6)
    assert found[0, 0, 0, 1] == pytest.approx(-1, abs=1e-6)
    assert [found[i, j, i, j] for i, j in ((0, 0), (3, 5))] == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("rotary", ["axial", "dinov3", "mixed"])
def test_rotary_positions_are_alike_by_their_offset(rotary):
    found = position_similarity(make(rotary=rotary, position="none"))
    np.testing.assert_allclose(found[0, 0, 1, 2], found[2, 3, 3, 5], atol=1e-6)
    assert found[1, 1, 1, 1] == pytest.approx(1, abs=1e-6) and found[0, 0, 3, 5] < 0.999
    # The mean cosine of the angles between neighbors, by the first formula of axial positions.
    if rotary == "axial":
        angles = [0, 0, 1, 10_000**-0.5]  # two of the row, which is the same, two of the column
        assert found[0, 0, 0, 1] == pytest.approx(np.mean(np.cos(angles)), abs=1e-6)


def test_fixed_positions_and_none():
    similarity = position_similarity(make(position="sincos2d", class_token=False, pool="average"))
    assert similarity[0, 0, 0, 1] > similarity[0, 0, 3, 5]
    with pytest.raises(UserError, match="no positions"):
        position_similarity(make(position="none"))


def test_a_relative_bias_is_the_mean_of_its_tables():
    """Each table says minus the distance of a key from its query, times the block's own factor."""
    model = make(relative_position_bias=True, position="none")
    down, right = np.mgrid[-3:4, -5:6]
    distance = np.append(np.hypot(down, right), [9, 9, 9])  # and the class token's three
    for factor, block in enumerate(blocks(model), 1):
        bias = block.attention.relative_position_bias
        bias.table.assign(-factor * np.stack([distance] * 2, axis=1))
    found = position_similarity(model)
    assert found[0, 0, 3, 5] == pytest.approx(-1) and found[1, 2, 1, 2] == 0
    assert found[2, 2, 2, 3] == pytest.approx(-1 / np.hypot(3, 5), rel=1e-5)


def test_filters_of_a_kernel_of_two_directions():
    model = make()
    rng = np.random.default_rng(0)
    kernel = 3 * np.outer(rng.normal(size=48), rng.normal(size=16))
    kernel += np.outer(rng.normal(size=48), rng.normal(size=16))
    kernel -= kernel.mean(axis=1, keepdims=True)
    model.get_layer("patch_encoder").projection.kernel.assign(kernel)
    filters, shares = patch_filters(model, 5)
    assert filters.shape == (5, 4, 4, 3)
    np.testing.assert_allclose(np.square(filters).sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    assert shares[:2].sum() == pytest.approx(1, abs=1e-5) and shares[0] > shares[1] > 0.01
    with pytest.raises(UserError, match="ResNet stem"):
        patch_filters(make(resnet_stages=(1,), resnet_width=32, patch_size=1))


def test_tokens_by_hand(monkeypatch):
    """Equal tokens, orthogonal tokens, and one that is ten times as long as the others."""
    equal = np.ones((1, 4, 6))
    orthogonal = np.eye(4)[None]
    long = np.concatenate([10 * np.eye(4)[None, :1], np.eye(4)[None, 1:]], axis=1)
    monkeypatch.setattr(room, "_patch_tokens", lambda model, images: [equal, orthogonal, long])
    monkeypatch.setattr(room, "config_of", lambda model: type("c", (), {"grid": (2, 2)}))
    assert token_similarity(None, None) == pytest.approx([1, 0, 0], abs=1e-6)
    assert effective_rank(None, None)[:2] == pytest.approx([1, 4], rel=1e-5)
    assert 1 < effective_rank(None, None)[2] < 4
    np.testing.assert_allclose(token_norms(None, None)[2], [[[10, 1], [1, 1]]])
    np.testing.assert_array_equal(artefacts(None, None), [[[True, False], [False, False]]])


def test_tokens_of_a_model():
    model = make(register_tokens=2)
    images = np.random.default_rng(5).integers(0, 256, (3, 16, 24, 3), "uint8")
    norms = token_norms(model, images)
    assert norms.shape == (2, 3, 4, 6)
    last = keras.Model(model.input, model.get_layer("block_01").output)(images)
    expected = np.linalg.norm(to_numpy(last)[:, 3:], axis=-1).reshape(3, 4, 6)
    # The same operations, attention summed in another order.
    np.testing.assert_allclose(norms[1], expected, rtol=1e-5)
    assert token_similarity(model, images).shape == effective_rank(model, images).shape == (2,)
