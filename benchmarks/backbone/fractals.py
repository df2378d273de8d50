# SPDX-License-Identifier: MIT
"""Fractals of iterated function systems, colored, before a background (arXiv 2101.08515)."""

import canvas
import numpy as np
from textures import from_hsv, paint, random_texture

_WALKERS, _STEPS, _SKIPPED = 600, 40, 8


def random_fractals(count: int, generator) -> list[dict]:
    """So many classes; see `figures.random_figures`."""
    return [_random_fractal(generator("fractal", label)) for label in range(count)]


def _random_fractal(rng: np.random.Generator) -> dict:
    """A class: maps `(n, 2, 2)` and `(n, 2)`, their probabilities, colors and a background."""
    count = int(rng.integers(2, 7))
    turn = rng.uniform(-np.pi, np.pi, (2, count))
    # Strong enough contractions for a bounded set, weak enough for one that fills a plane.
    strength = rng.uniform(0.3, 0.95, (count, 2))
    strength *= (0.5 * (5 + count) / (strength @ [1, 2]).sum()) if count > 1 else 1
    strength = np.clip(strength, 0.05, 0.95)
    first, second = (
        np.stack([np.stack([np.cos(t), -np.sin(t)], -1), np.stack([np.sin(t), np.cos(t)], -1)], -2)
        for t in turn
    )
    signs = rng.choice((-1, 1), (count, 2))
    maps = first @ ((strength * signs)[..., None] * second)
    areas = np.abs(np.linalg.det(maps)) + 0.02
    return {
        "maps": maps.astype("float32"),
        "shifts": rng.uniform(-1, 1, (count, 2)).astype("float32"),
        "shares": areas / areas.sum(),
        "colors": from_hsv(
            rng.uniform() + rng.normal(0, 0.2, count),
            rng.uniform(0.1, 0.9, count),
            rng.uniform(0.4, 1, count),
        ),
        "background": random_texture(rng),
    }


def draw(fractal: dict, others: list[dict], rng: np.random.Generator) -> np.ndarray:
    """An image, uint8 `(S, S, 3)`."""
    jitter = 1 + rng.normal(0, 0.04, fractal["maps"].shape).astype("float32")
    maps = fractal["maps"] * jitter
    point = np.zeros((_WALKERS, 2), "float32")
    points, colors = [], []
    for step in range(_STEPS + _SKIPPED):
        chosen = rng.choice(len(maps), _WALKERS, p=fractal["shares"])
        point = np.einsum("wij,wj->wi", maps[chosen], point) + fractal["shifts"][chosen]
        point = np.clip(point, -1e3, 1e3)
        if step >= _SKIPPED:
            points.append(point)
            colors.append(chosen)
    points, colors = np.concatenate(points), np.concatenate(colors)
    cover, image = _splat(points, fractal["colors"][colors], rng)
    other = fractal if rng.random() < 0.5 else others[rng.integers(len(others))]
    behind = paint(other["background"], canvas.X, canvas.Y, rng)
    return canvas.photographed(behind * (1 - cover) + image * cover, rng)


def _splat(points, colors, rng):
    """Cover `(S, S, 1)` and color `(S, S, 3)` of scattered points."""
    middle, spread = np.median(points, 0), points.std(0).mean() + 1e-3
    points = (points - middle) / spread * rng.uniform(0.3, 0.6)
    x, y = canvas.moved(
        points[:, 0], points[:, 1], rng.normal(0, 0.2, 2), rng.uniform(0, 2 * np.pi), 1
    )
    column, row = (np.floor((p + 1) * canvas.SIDE / 2).astype("int64") for p in (x, y))
    seen = (column >= 0) & (column < canvas.SIDE) & (row >= 0) & (row < canvas.SIDE)
    cell = (row * canvas.SIDE + column)[seen]
    cells = canvas.SIDE**2
    count = np.bincount(cell, minlength=cells)
    total = np.stack([np.bincount(cell, colors[seen, c], cells) for c in range(3)], -1)
    shape = (canvas.SIDE, canvas.SIDE, -1)
    cover = 1 - np.exp(-count / max(1.0, np.quantile(count[count > 0], 0.5) if len(cell) else 1))
    bright = 0.5 + 0.5 * np.minimum(1, np.log1p(count) / np.log1p(np.quantile(count, 0.99) + 1))
    color = total / np.maximum(count, 1)[:, None] * bright[:, None]
    return (part.reshape(shape).astype("float32") for part in (cover, color))
