# SPDX-License-Identifier: MIT
"""Nested outlines whose radius is a sum of two waves (arXiv 2303.01112)."""

import canvas
import numpy as np
from textures import from_hsv, random_palette

_POINTS = 700


def random_contours(count: int, generator) -> list[dict]:
    """So many classes; see `figures.random_figures`."""
    return [_random_contours(generator("contours", label)) for label in range(count)]


def _random_contours(rng: np.random.Generator) -> dict:
    """A class: periods of the two waves, their shares, lines, aspect and unevenness."""
    return {
        "periods": rng.integers(0, 21, 2),
        "amplitudes": rng.uniform(0.05, 0.5, 2),
        "lines": int(rng.integers(1, 40)),
        "aspect": float(np.exp(rng.normal(0, 0.4))),
        "noise": float(rng.choice((0.0, rng.uniform(0, 0.4)))),
        "apart": float(rng.uniform(0.01, 0.06)),
        "colors": random_palette(rng),
    }


def draw(contours: dict, others: list[dict], rng: np.random.Generator) -> np.ndarray:
    """An image, uint8 `(S, S, 3)`."""
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False, dtype="float32")
    phase = rng.uniform(0, 2 * np.pi, 2)
    wave = sum(
        amplitude * np.sin(periods * angle + start)
        for amplitude, periods, start in zip(
            contours["amplitudes"], contours["periods"], phase, strict=True
        )
    )
    noise = rng.uniform(-1, 1, _POINTS // 7).repeat(7) * contours["noise"] * 0.2
    size = rng.uniform(0.25, 0.6)
    lines = 1 + contours["apart"] * np.arange(contours["lines"])[:, None] / 1
    radius = size * (lines + 0.6 * (wave + noise))  # (lines, points)
    x, y = radius * np.cos(angle) * contours["aspect"], radius * np.sin(angle)
    x, y = canvas.moved(x, y, rng.normal(0, 0.2, 2), rng.uniform(0, 2 * np.pi), 1)
    column, row = (np.floor((p + 1) * canvas.SIDE / 2).astype("int64") for p in (x, y))
    seen = (column >= 0) & (column < canvas.SIDE) & (row >= 0) & (row < canvas.SIDE)
    count = np.bincount((row * canvas.SIDE + column)[seen], minlength=canvas.SIDE**2)
    cover = (1 - np.exp(-count / 4)).reshape(canvas.SIDE, canvas.SIDE, 1).astype("float32")
    behind, line = from_hsv(rng.uniform(0, 1, 2), rng.uniform(0, 0.6, 2), rng.uniform(0, 1, 2))
    line = contours["colors"][0] if rng.random() < 0.5 else line
    return canvas.photographed(behind * (1 - cover) + line * cover, rng)
