# SPDX-License-Identifier: MIT
"""Values on a line at other places, as a matrix: serves any axis, any size and its own inverse."""

import numpy as np


def matrix(old: int, new: int, method: str) -> np.ndarray:
    """The linear map that resamples `old` values on a line to `new`.

    Args:
        old: values to read.
        new: values to make.
        method: "zoom" aligns the corners (`scipy.ndimage.zoom(order=1)`, the official code for
            `.npz`); "bilinear" aligns the edges of the cells; "bicubic" does so with a cubic
            (a = -0.5) that is widened when it shrinks (PyTorch's `antialias=True`, as in timm);
            "bilinear_antialias" is the same with a triangle (`jax.image.resize`).

    Returns:
        float64 `(new, old)` whose rows sum to 1.
    """
    if method == "zoom":
        where = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        weights = _triangle(where[:, None] - np.arange(old))
    else:
        scale = old / new
        widening = max(1.0, scale) if method in ("bicubic", "bilinear_antialias") else 1.0
        where = (np.arange(new) + 0.5) * scale - 0.5
        kernel = _cubic if method == "bicubic" else _triangle
        weights = kernel((where[:, None] - np.arange(old)) / widening)
    return weights / weights.sum(axis=1, keepdims=True)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """The cubic convolution kernel of Keys (1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
