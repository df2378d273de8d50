# SPDX-License-Identifier: MIT
"""Each method agrees with its home."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_vit import UserError
from keras_vit.interpolation import matrix
from keras_vit.weights.registry import writer_of
from keras_vit.weights.resample import METHODS, patch_kernel, position_grid
from tests.conftest import arrays_in
from tests.weights.fixtures import FOLDER

FIXTURE = FOLDER.parent / "resampled.npz"
SIDES = st.integers(1, 12)


@settings(max_examples=40)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 3), st.sampled_from(METHODS))
def test_prefix_rows_stay_as_they_are(rows, columns, new_rows, new_columns, prefix, method):
    table = np.random.default_rng(0).standard_normal((1, prefix + rows * columns, 4))
    table = table.astype(np.float32)
    result = position_grid(table, (rows, columns), (new_rows, new_columns), prefix, method)
    assert result.shape == (1, prefix + new_rows * new_columns, 4)
    assert result.dtype == np.float32
    assert np.array_equal(result[:, :prefix], table[:, :prefix])


@settings(max_examples=40)
@given(st.integers(2, 8), st.integers(0, 8), st.integers(1, 3))
def test_a_larger_patch_gives_the_same_tokens(old, more, channels):
    """The defining property of the pseudo-inverse resize: <B x, new> = <x, old>."""
    new = old + more
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((old * old * channels, 5)).astype(np.float32)
    patch = rng.standard_normal((old, old, channels))
    up = matrix(old, new, "bilinear_antialias")
    resized = np.einsum("yr,xc,rcd->yxd", up, up, patch)
    result = patch_kernel(kernel, (old, old), (new, new), channels)
    assert np.allclose(resized.reshape(-1) @ result, patch.reshape(-1) @ kernel, atol=1e-3)


@pytest.mark.parametrize(("old", "new"), [(4, 7), (7, 4), (14, 24), (3, 3), (2, 5)])
def test_zoom_is_that_of_scipy(old, new):
    ndimage = pytest.importorskip("scipy.ndimage")
    grid = np.random.default_rng(0).standard_normal((1, old * old, 3)).astype(np.float32)
    expected = ndimage.zoom(grid.reshape(old, old, 3), (new / old, new / old, 1), order=1)
    result = position_grid(grid, (old, old), (new, new), method="zoom")
    assert np.allclose(result.reshape(new, new, 3), expected, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(4, 7), (7, 4), (14, 24), (5, 3)])
def test_bilinear_and_bicubic_are_those_of_torch(old, new):
    torch = pytest.importorskip("torch")
    grid = np.random.default_rng(0).standard_normal((1, old * old, 3)).astype(np.float32)
    image = torch.from_numpy(grid.reshape(1, old, old, 3)).permute(0, 3, 1, 2)
    for mode, antialias in itertools.product(("bilinear", "bicubic"), (False, True)):
        expected = torch.nn.functional.interpolate(
            image, (new, new), mode=mode, antialias=antialias, align_corners=False
        )
        method = f"{mode}_antialias" if antialias else mode
        result = position_grid(grid, (old, old), (new, new), method=method)
        expected = expected.permute(0, 2, 3, 1).reshape(1, new * new, 3).numpy()
        assert np.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("side", [6, 12])
@pytest.mark.parametrize("home", ["timm", "hf"])
def test_positions_are_resampled_as_at_home(home, side):
    stored = arrays_in(FIXTURE)
    method = writer_of(home).resampling.positions
    result = position_grid(stored["table"], (8, 8), (side, side), 1, method)
    # Two sums of four or more products in float32, of numbers up to 4.
    assert np.allclose(result, stored[f"{home}_{side}"], atol=5e-6)


@pytest.mark.parametrize("side", [4, 16])
def test_patches_are_resampled_as_in_timm(side):
    stored = arrays_in(FIXTURE)
    kernel = stored["kernel"].transpose(2, 3, 1, 0).reshape(8 * 8 * 3, 6)
    result = patch_kernel(kernel, (8, 8), (side, side), 3, writer_of("timm").resampling.patches)
    expected = stored[f"timm_patch_{side}"].transpose(2, 3, 1, 0).reshape(-1, 6)
    # timm takes the pseudo-inverse of the whole matrix in float32; numbers are up to 10.
    assert np.allclose(result, expected, atol=2e-5)


def test_an_unknown_method():
    with pytest.raises(UserError, match="Did you mean bicubic"):
        position_grid(np.zeros((1, 4, 4), np.float32), (2, 2), (3, 3), method="bicubi")
