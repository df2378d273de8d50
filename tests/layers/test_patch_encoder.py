# SPDX-License-Identifier: MIT
import math

import keras
import numpy as np
import pytest

from keras_vit.interpolation import matrix
from keras_vit.layers import PatchEncoder, sincos2d
from tests.contracts import randomize, to_numpy


def encode(patches, **options):
    layer = PatchEncoder(8, (2, 3), **options)
    layer.build(patches.shape)
    randomize(layer)
    return layer, to_numpy(layer(patches))


@pytest.fixture
def patches():
    return np.random.default_rng(2).normal(size=(2, 6, 12)).astype("float32")


def projected(layer, patches):
    return patches @ to_numpy(layer.projection.kernel) + to_numpy(layer.projection.bias)


def test_equation_1(patches):
    layer, z = encode(patches)
    table = to_numpy(layer.position_embedding)[0]
    class_token = to_numpy(layer.class_embedding)[0, 0]
    np.testing.assert_allclose(z[:, 0], np.stack([class_token + table[0]] * 2), atol=1e-6)
    # Sums of 12 products in another order.
    np.testing.assert_allclose(z[:, 1:], projected(layer, patches) + table[1:], atol=1e-5)


def test_class_token_outside_the_table_has_no_position(patches):
    layer, z = encode(patches, class_token_in_positions=False)
    assert layer.position_embedding.shape == (1, 6, 8)
    np.testing.assert_array_equal(z[0, 0], to_numpy(layer.class_embedding)[0, 0])


def test_order_is_class_distillation_registers_patches(patches):
    layer, z = encode(patches, distillation_token=True, register_tokens=2)
    table = to_numpy(layer.position_embedding)[0]
    assert z.shape == (2, 2 + 2 + 6, 8)
    assert table.shape == (2 + 6, 8)
    distillation = to_numpy(layer.distillation_embedding)[0, 0] + table[1]
    np.testing.assert_allclose(z[0, 1], distillation, atol=1e-6)
    np.testing.assert_array_equal(z[0, 2:4], to_numpy(layer.register_embedding)[0])
    np.testing.assert_allclose(z[:, 4:], projected(layer, patches) + table[2:], atol=1e-5)


def test_sincos2d_is_the_formula_of_moco_v3():
    rows, columns, width = 2, 3, 8
    table = sincos2d((rows, columns), width)
    assert table.shape == (6, 8)
    for y in range(rows):
        for x in range(columns):
            omega = [1.0, 1 / 10_000]  # 10000 ** -(j / (width / 4 - 1)) for j = 0, 1
            expected = [
                *(math.sin(x * w) for w in omega),
                *(math.cos(x * w) for w in omega),
                *(math.sin(y * w) for w in omega),
                *(math.cos(y * w) for w in omega),
            ]
            # Computed in float64, stored in float32.
            np.testing.assert_allclose(table[y * columns + x], expected, atol=1e-7)


def test_sincos2d_is_no_weight(patches):
    layer, z = encode(patches, class_token=False, position="sincos2d")
    assert [weight.name for weight in layer.weights] == ["kernel", "bias"]
    np.testing.assert_allclose(z, projected(layer, patches) + sincos2d((2, 3), 8), atol=1e-5)


@pytest.mark.parametrize(("grid", "other"), [((4, 6), (2, 3)), ((2, 3), (4, 6)), ((6, 6), (5, 5))])
def test_another_grid_gets_resampled_positions(grid, other):
    layer = PatchEncoder(8, grid, register_tokens=1)
    layer.build((None, grid[0] * grid[1], 12))
    randomize(layer)
    patches = np.zeros((1, other[0] * other[1], 12), "float32")
    z = to_numpy(layer(patches))[0]
    table = to_numpy(layer.position_embedding)[0]
    full = to_numpy(layer(np.zeros((1, grid[0] * grid[1], 12), "float32")))[0]
    np.testing.assert_array_equal(z[:2], full[:2])  # class token and register
    rows, columns = (matrix(o, n, "bicubic_antialias") for o, n in zip(grid, other, strict=True))
    expected = np.einsum("yr,xc,rcd->yxd", rows, columns, table[1:].reshape(*grid, 8))
    found = z[2:] - to_numpy(layer.projection.bias)
    # float32 sums of up to 36 products of numbers of about 1.
    np.testing.assert_allclose(found, expected.reshape(-1, 8), atol=1e-5)
    resized = keras.ops.image.resize(
        table[1:].reshape(1, *grid, 8), other, interpolation="bicubic", antialias=True
    )
    np.testing.assert_allclose(found, to_numpy(resized).reshape(-1, 8), atol=1e-5)


def test_another_grid_gets_its_own_fixed_positions(patches):
    layer, _ = encode(patches, class_token=False, position="sincos2d")
    found = to_numpy(layer(np.zeros((1, 24, 12), "float32")))[0]
    bias = to_numpy(layer.projection.bias)
    np.testing.assert_allclose(found - bias, sincos2d((4, 6), 8), atol=1e-6)


def test_the_table_learns_from_a_smaller_grid():
    """The gradient of the sum of all tokens: each row of the table gets its share of the rows."""
    layer = PatchEncoder(8, (4, 4), class_token=False)
    layer.build((None, 16, 12))
    before = to_numpy(layer.position_embedding).copy()
    model = keras.Sequential([keras.Input((4, 12)), layer])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, x: keras.ops.sum(x))
    model.train_on_batch(np.zeros((1, 4, 12), "float32"), np.zeros((1, 4, 8), "float32"))
    moved = before - to_numpy(layer.position_embedding)
    line = matrix(4, 2, "bicubic_antialias").sum(axis=0)
    expected = np.outer(line, line).reshape(1, 16, 1) * np.ones(8)
    np.testing.assert_allclose(moved, expected, atol=1e-6)  # float32 of numbers below 1


def test_patches_without_a_grid_of_this_aspect_ratio_are_refused(patches):
    layer, _ = encode(patches)
    with pytest.raises(ValueError, match="or a grid of this aspect ratio, received 12 patches"):
        layer(np.zeros((1, 12, 12), "float32"))


@pytest.mark.parametrize("width", [4, 6, 10])
def test_sincos2d_needs_a_multiple_of_four(width):
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos2d((2, 2), width)


def test_the_wrong_number_of_patches_is_refused():
    with pytest.raises(ValueError, match="expected 6 patches"):
        PatchEncoder(8, (2, 3)).build((None, 7, 12))


def test_initial_values_are_the_published_ones():
    layer = PatchEncoder(256, (16, 16), register_tokens=1)
    layer.build((None, 256, 768))
    assert (to_numpy(layer.class_embedding) == 0).all()
    # 65,792 draws: the standard deviation is known to 0.3 %; the bound is seven times that.
    assert to_numpy(layer.position_embedding).std() == pytest.approx(0.02, rel=0.02)
    # LeCun normal: variance 1 / fan_in.
    assert to_numpy(layer.projection.kernel).std() == pytest.approx(768**-0.5, rel=0.02)
