# SPDX-License-Identifier: MIT
"""Position tables for another grid, patch kernels for another patch size."""

from functools import partial
from typing import NamedTuple

import numpy as np

from keras_vit.errors import unknown
from keras_vit.interpolation import matrix

METHODS = (
    *("zoom", "bilinear", "bicubic", "bilinear_antialias", "bicubic_antialias"),
    "bicubic_dinov2",
)
OFFSET_METHODS = ("geometric", *METHODS)


class Resampling(NamedTuple):
    """How a library fits its own checkpoints to another size: methods for each axis.

    Attributes:
        positions: of the table of positions.
        patches: of a patch, whose inverse is applied to the projection (see `patch_kernel`).
        offsets: of a table of relative positions: one of these, or "geometric".
    """

    positions: str = "bicubic_antialias"
    patches: str = "bilinear_antialias"
    offsets: str = "geometric"


def position_grid(
    table: np.ndarray,
    old: tuple[int, int],
    new: tuple[int, int],
    prefix: int = 0,
    method: str = "zoom",
) -> np.ndarray:
    """Resamples the patch rows of a position table.

    Args:
        table: `(1, prefix + old rows * old columns, width)`.
        old: rows and columns that the table was made for.
        new: rows and columns wanted.
        prefix: rows of class token and the like, which come first and stay as they are.
        method: one of `METHODS`.

    Returns:
        float32 `(1, prefix + new rows * new columns, width)`.
    """
    if method not in METHODS:
        raise unknown("resampling method", method, METHODS)
    if old == new:
        return table
    grid = table[0, prefix:].reshape(*old, -1)  # (rows, columns, D)
    grid = _both_axes(grid, matrix(old[0], new[0], method), matrix(old[1], new[1], method))
    grid = grid.reshape(1, new[0] * new[1], -1).astype(np.float32)
    return np.concatenate([table[:, :prefix], grid], axis=1)


def offset_table(
    table: np.ndarray, old: tuple[int, int], new: tuple[int, int], method: str = "geometric"
) -> np.ndarray:
    """Resamples a table of relative positions: a row for each offset of two patches.

    "geometric" is the code of BEiT (arXiv 2106.08254), which timm has too: the old offsets are
    spread over the new ones at distances that grow by a constant factor, so that small offsets keep
    their values; between them it is linear.

    Args:
        table: `((2 * old rows - 1) * (2 * old columns - 1) + rest, heads)`.
        old: rows and columns of the grid that the table was made for.
        new: rows and columns wanted.
        method: one of `OFFSET_METHODS`.

    Returns:
        float32 `((2 * new rows - 1) * (2 * new columns - 1) + rest, heads)`; the rest, of pairs
        with the class token, stays as it is.
    """
    if method not in OFFSET_METHODS:
        raise unknown("resampling method", method, OFFSET_METHODS)
    if old == new:
        return table
    make = _geometric if method == "geometric" else partial(matrix, method=method)
    (rows, columns), sizes = ([2 * side - 1 for side in grid] for grid in (old, new))
    offsets, rest = np.split(table, [rows * columns])
    grid = offsets.reshape(rows, columns, -1)  # (2 R - 1, 2 C - 1, heads)
    grid = _both_axes(grid, make(rows, sizes[0]), make(columns, sizes[1]))
    return np.concatenate([grid.reshape(-1, table.shape[-1]).astype(np.float32), rest])


def _geometric(old: int, new: int) -> np.ndarray:
    """The linear map from `old` values at growing distances to `new` at a distance of 1."""
    if old == new or old == 1:
        return np.ones((new, 1)) if old == 1 else np.eye(old)
    factor = _factor(old // 2, new // 2)
    distances = np.cumsum(factor ** np.arange(old // 2))  # 1, 1 + q, 1 + q + q^2, ...
    where = np.concatenate([-distances[::-1], [0.0], distances])  # (old,)
    wanted = np.arange(new) - new // 2.0
    right = np.clip(np.searchsorted(where, wanted), 1, old - 1)
    far = np.clip((wanted - where[right - 1]) / (where[right] - where[right - 1]), 0.0, 1.0)
    weights = np.zeros((new, old))
    weights[np.arange(new), right - 1] = 1 - far
    weights[np.arange(new), right] += far
    return weights


def _factor(steps: int, reach: int) -> float:
    """The factor between 1.01 and 1.5 with which so many growing steps come to a distance, to the
    6 digits of the original."""
    left, right = 1.01, 1.5
    while right - left > 1e-6:
        factor = (left + right) / 2
        if (1 - factor**steps) / (1 - factor) > reach:
            right = factor
        else:
            left = factor
    return factor


def patch_kernel(
    kernel: np.ndarray,
    old: tuple[int, int],
    new: tuple[int, int],
    channels: int,
    method: str = "bilinear_antialias",
) -> np.ndarray:
    """Resizes a patch projection so that resized patches give the tokens they gave before.

    The pseudo-inverse resize of FlexiViT (arXiv 2212.08013, section 3.4): with B the matrix that
    resizes a patch, the new kernel is pinv(B^T) times the old one. Exact for larger patches.

    Args:
        kernel: `(old height * old width * channels, width)`.
        old: height and width of its patches.
        new: height and width wanted.
        channels: channels of a patch.
        method: how the patch is resized, one of `METHODS`; FlexiViT's is the default.

    Returns:
        float32 `(new height * new width * channels, width)`.
    """
    if old == new:
        return kernel
    inverse = [
        np.linalg.pinv(matrix(o, n, method).T) for o, n in zip(old, new, strict=True)
    ]  # each (new, old)
    grid = _both_axes(kernel.reshape(*old, -1), *inverse)  # (P, P, C * D)
    return grid.reshape(new[0] * new[1] * channels, -1).astype(np.float32)


def _both_axes(grid: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.einsum("yr,xc,rcd->yxd", rows, columns, grid, optimize=True)
