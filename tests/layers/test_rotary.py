# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.layers import RotaryEmbedding
from keras_vit.layers.rotary import axial_angles, coordinates
from tests.contracts import randomize, to_numpy

GRID = (3, 4)


def turned(layer, x):
    return to_numpy(layer(x)).astype("float64")


@pytest.mark.parametrize("kind", ["axial", "dinov3", "mixed"])
def test_a_score_depends_on_the_offset_alone(kind):
    """Equation 11 of arXiv 2104.09864: equal queries and keys everywhere, equal offsets."""
    rng = np.random.default_rng(0)
    heads = rng.normal(size=(2, 1, 1, 2, 8)).astype("float32")
    layer = RotaryEmbedding(kind, GRID, temperature=100.0)
    layer.build((1, 12, 2, 8))
    randomize(layer)
    q, k = (turned(layer, np.broadcast_to(x, (1, 12, 2, 8))).reshape(*GRID, 2, 8) for x in heads)
    scores = np.einsum("yxhd,YXhd->hyxYX", q, k)
    for y, x in ((0, 1), (1, 0), (2, 3), (1, 2)):
        down, right = GRID[0] - y, GRID[1] - x
        same = np.stack(
            [scores[:, i, j, i + y, j + x] for i in range(down) for j in range(right)], axis=1
        )
        # Sums of eight numbers of size 1, turned in float32.
        np.testing.assert_allclose(same, same[:, :1] + 0 * same, atol=5e-6)
    assert np.ptp(scores) > 0.1


def test_angles_by_their_formulas():
    places = coordinates("axial", (2, 2), reference_grid=(4, 6), offset=1.0)
    np.testing.assert_array_equal(places, [[2, 3], [2, 6], [4, 3], [4, 6]])
    omega = [1, 100**-0.5]
    expected = [[y * w for w in omega] + [x * w for w in omega] for y, x in places]
    np.testing.assert_allclose(axial_angles(places, 8, 100.0), expected)
    centers = coordinates("dinov3", (1, 2)) / (2 * np.pi)
    np.testing.assert_allclose(centers, [[0, -0.5], [0, 0.5]], atol=1e-15)


def test_a_quarter_turn_by_hand():
    """The head [a, b] of the patch in the first row and second column, turned by its column."""
    layer = RotaryEmbedding("axial", (1, 2), 1, offset=np.pi / 2 - 1)
    x = np.ones((1, 3, 1, 4), "float32") * [[1, 2, 3, 4]]
    y = to_numpy(layer(x.astype("float32")))[0, :, 0]
    np.testing.assert_array_equal(y[0], x[0, 0, 0])  # the class token
    c, s = np.cos(np.pi / 2 - 1), np.sin(np.pi / 2 - 1)
    np.testing.assert_allclose(y[2], [c - 3 * s, -4, 3 * c + s, 2], atol=1e-6)


def test_another_resolution_is_another_grid():
    layer = RotaryEmbedding("axial", (2, 3), 1, reference_grid=(2, 3))
    larger = to_numpy(layer(np.ones((1, 25, 1, 4), "float32")))
    assert larger.shape == (1, 25, 1, 4)
    with pytest.raises(UserError, match="RotaryEmbedding: expected 6 patches in a grid of 2 x 3"):
        layer(np.ones((1, 8, 1, 4), "float32"))
