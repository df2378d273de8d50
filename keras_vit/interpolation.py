# SPDX-License-Identifier: MIT
"""Resampling along one axis, as a matrix: it serves any axis and any size, and can be inverted."""

import numpy as np


def matrix(old: int, new: int, method: str) -> np.ndarray:
    """The linear map that resamples `old` values on a line to `new`.

    Args:
        old: values to read.
        new: values to make.
        method: "zoom" aligns the corners (`scipy.ndimage.zoom(order=1)`, the official code for
            `.npz`); "bilinear" and "bicubic" align the edges of the cells, the second with a cubic
            of a = -0.75 (PyTorch's `interpolate`, as in transformers); "bicubic_dinov2" is that for
            a line of new + 0.1 (DINOv2's own code);
            "bilinear_antialias" and
            "bicubic_antialias" are widened when they shrink, the cubic with a = -0.5 (PyTorch's
            `antialias=True`, as in timm; `jax.image.resize`).

    Returns:
        float64 `(new, old)` whose rows sum to 1.
    """
    if method == "zoom":
        where: np.ndarray = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        weights = _triangle(where[:, None] - np.arange(old))
    else:
        length = new + 0.1 if method == "bicubic_dinov2" else new
        where = (np.arange(new) + 0.5) * old / length - 0.5
        if method in ("bicubic", "bicubic_dinov2"):
            return _repeating_edges(where, old)
        widening = max(1.0, old / new) if method.endswith("_antialias") else 1.0
        kernel = _cubic if method == "bicubic_antialias" else _triangle
        weights = kernel((where[:, None] - np.arange(old)) / widening)
    return weights / weights.sum(axis=1, keepdims=True)


def _repeating_edges(where: np.ndarray, old: int) -> np.ndarray:
    """Cubic interpolation for which the first and the last value go on for ever: what would fall
    outside is theirs, where the other methods share it out among all."""
    weights = np.zeros((len(where), old))
    first = np.floor(where).astype(int) - 1
    for neighbour in range(4):
        place = first + neighbour
        at = np.clip(place, 0, old - 1)
        np.add.at(weights, (np.arange(len(where)), at), _cubic(where - place, a=-0.75))
    return weights


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """The cubic convolution kernel of Keys (1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
