# SPDX-License-Identifier: MIT
import keras
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.analysis import (
    attention_distance,
    attention_entropy,
    attention_maps,
    attention_of_the_output,
    heads_of_the_output,
    rollout,
    rollout_of_the_output,
)
from tests.contracts import randomize, to_numpy
from tests.models.test_vit import AVERAGE, OPTIONS, tiny


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).integers(0, 256, (3, 16, 24, 3), "uint8")


def make(**options):
    model = vit(tiny(**options))
    randomize(model)
    return model


@pytest.mark.parametrize("options", [{}, AVERAGE, {"register_tokens": 2}])
def test_maps_of_every_block_and_head(images, options):
    model = make(**options)
    maps = attention_maps(model, images)
    tokens = tiny(**options).num_tokens
    assert maps.shape == (2, 3, 2, tokens, tokens)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)  # 25 float32 numbers
    assert (maps >= 0).all()
    assert not np.allclose(maps[0], maps[1])


def test_maps_are_those_that_the_forward_pass_used(images):
    """The last block, recomputed from its input with its own weights."""
    model = make()
    x = images.astype("float32")
    for layer in model.layers[1:]:
        if layer.name == "block_01":
            break
        x = layer(x)
    _, expected = model.get_layer("block_01")(x, return_attention_scores=True)
    # The first block ran once with and once without its weights asked for: two orders of summation.
    np.testing.assert_allclose(attention_maps(model, images)[1], to_numpy(expected), atol=2e-6)


def test_the_output_s_attention_is_the_class_token_s_row(images):
    model = make(register_tokens=2)
    maps = attention_maps(model, images)[-1].mean(axis=1)
    grid = attention_of_the_output(model, images)
    assert grid.shape == (3, 4, 6)
    np.testing.assert_allclose(grid.reshape(3, 24), maps[:, 0, 3:], atol=1e-7)


def test_without_a_class_token_it_is_the_mean_over_patches(images):
    model = make(**AVERAGE)
    maps = attention_maps(model, images)[-1].mean(axis=1)
    grid = attention_of_the_output(model, images)
    np.testing.assert_allclose(grid.reshape(3, 24), maps.mean(axis=1), atol=1e-7)


def test_a_pool_of_attention_tells_what_it_reads(images):
    model = make(pool="map", register_tokens=1)
    grid = attention_of_the_output(model, images)
    x = keras.Model(model.input, model.get_layer("encoder_norm").output)(images)
    _, weights = model.get_layer("pool")(x, return_attention_scores=True)
    np.testing.assert_allclose(grid.reshape(3, 24), to_numpy(weights).mean(axis=(1, 2)), atol=2e-6)


@pytest.mark.parametrize("pool", ["average", "token_and_average"])
def test_what_is_read_is_the_pool_s_choice_although_there_is_a_class_token(images, pool):
    model = make(pool=pool, register_tokens=1)
    maps = attention_maps(model, images)[-1]  # class token, register, 24 patches
    expected = maps[:, :, 2:, 2:].mean(axis=2)
    if pool == "token_and_average":
        expected = (expected + maps[:, :, 0, 2:]) / 2
    heads = heads_of_the_output(model, images)
    np.testing.assert_allclose(heads.reshape(3, 2, 24), expected, atol=1e-7)
    np.testing.assert_allclose(attention_of_the_output(model, images), heads.mean(axis=1))


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "map with registers",
        "distillation",
        "hybrid",
        "BEiT",
        "norms after the branches",
        "token and average",
    ],
)
def test_a_model_that_looks_everywhere_alike_gives_level_maps(images, name):
    """Without queries every score is equal: each of the tokens has an equal share."""
    model = make(**OPTIONS[name])
    config = model.config
    for variable in model.variables:
        if "/query" in variable.path or variable.path.endswith("relative_position_bias/table"):
            variable.assign(np.zeros(variable.shape))
    read = config.num_patches if config.pool == "map" else config.num_tokens
    grid = attention_of_the_output(model, images)
    np.testing.assert_allclose(grid, 1 / read, rtol=1e-5)
    flow = rollout_of_the_output(model, images)
    assert flow.shape == (3, *config.grid)
    np.testing.assert_allclose(flow, np.broadcast_to(flow[:, :1, :1], flow.shape), rtol=1e-5)


def test_rollout_through_a_pool_of_attention(images):
    model = make(pool="map", class_token=False, register_tokens=1)
    x = keras.Model(model.input, model.get_layer("encoder_norm").output)(images)
    weights = to_numpy(model.get_layer("pool")(x, return_attention_scores=True)[1])
    flow = rollout(attention_maps(model, images))[:, 1:]  # patches read, of all tokens
    expected = np.einsum("bn,bnt->bt", weights.mean(axis=(1, 2)), flow)[:, 1:]
    found = rollout_of_the_output(model, images).reshape(3, 24)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def uniform(tokens, depth=3):
    return np.full((depth, 2, 4, tokens, tokens), 1 / tokens, "float32")


def test_rollout_of_cases_made_by_hand():
    identity = np.broadcast_to(np.eye(5, dtype="float32"), (3, 2, 4, 5, 5))
    np.testing.assert_array_equal(rollout(identity), identity[0, :, 0])
    flow = rollout(uniform(5))
    np.testing.assert_allclose(flow.sum(axis=-1), 1, atol=1e-6)
    # Half of the identity three times leaves an eighth of it; the rest is spread.
    np.testing.assert_allclose(flow[0], np.eye(5) / 8 + 7 / 8 / 5, atol=1e-6)
    # A token that the first block looks at, through the second, which looks at itself alone.
    first, second = np.zeros((2, 1, 1, 3, 3), "float32")
    first[..., 2], second[...] = 1, np.eye(3)
    np.testing.assert_allclose(
        rollout(np.stack([first, second]), residual=0.0)[0], [[0, 0, 1]] * 3, atol=0
    )


def test_rollout_fuses_heads_and_discards_the_least():
    heads = np.array([[[[0.6, 0.4], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5]]]], "float32")[None]
    assert rollout(heads, "max", residual=0)[0, 0] == pytest.approx([0.6 / 1.4, 0.8 / 1.4])
    assert rollout(heads, "min", residual=0)[0, 0] == pytest.approx([0.2 / 0.6, 0.4 / 0.6])
    kept = rollout(heads[:, :, :1], discard_ratio=0.5, residual=0)[0, 0]
    assert kept == pytest.approx([1, 0])
    # Where all weights are equal none is the least.
    np.testing.assert_allclose(rollout(uniform(5), discard_ratio=0.5), rollout(uniform(5)))
    with pytest.raises(UserError, match="head_fusion"):
        rollout(heads, "sum")


def test_distances_in_pixels():
    config = tiny()  # 4 x 6 patches of 4 pixels, after a class token
    maps = np.zeros((1, 1, 2, 25, 25), "float32")
    for row in range(4):
        for column in range(6):
            query = 1 + 6 * row + column
            maps[0, 0, 0, query, query] = 1  # itself
            maps[0, 0, 1, query, 1 + 6 * row + (column + 1) % 6] = 0.5  # its neighbor
            maps[0, 0, 1, query, 0] = 0.5  # the class token, which has no place
    # Five neighbors at 4 pixels, and one at 20 across the image.
    assert attention_distance(maps, config)[0] == pytest.approx([0, (5 * 4 + 20) / 6])


def test_entropy_of_one_and_of_all():
    assert attention_entropy(uniform(5)) == pytest.approx(np.full((3, 4), np.log(5)), rel=1e-5)
    identity = np.broadcast_to(np.eye(5, dtype="float32"), (1, 2, 4, 5, 5))
    assert attention_entropy(identity) == pytest.approx(np.zeros((1, 4)), abs=1e-6)
