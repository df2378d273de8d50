# SPDX-License-Identifier: MIT
"""Position tables for another grid, patch kernels for another patch size."""

from typing import NamedTuple

import numpy as np

from keras_vit.errors import unknown
from keras_vit.interpolation import matrix

METHODS = ("zoom", "bilinear", "bicubic", "bilinear_antialias", "bicubic_antialias")


class Resampling(NamedTuple):
    """How a library fits its own checkpoints to another size: methods for each axis.

    Attributes:
        positions: of the table of positions.
        patches: of a patch, whose inverse is applied to the projection (see `patch_kernel`).
    """

    positions: str = "bicubic_antialias"
    patches: str = "bilinear_antialias"


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
