# SPDX-License-Identifier: MIT
"""Surfaces: a field of numbers over the plane, warped, and colored by a palette.

What a class of surfaces has in common (kind of field, frequencies, warp, palette) is drawn once;
what differs from image to image (phases, places of cells, light) is drawn each time. The idea of
short programs of waves and noise as classes is that of arXiv 2211.16412.
"""

import dataclasses

import numpy as np

_WAVES = 14  # of a field of noise: enough to look random, and a millisecond


@dataclasses.dataclass(frozen=True)
class Texture:
    """A class of surfaces.

    Attributes:
        kinds: one or two fields, of `FIELDS`.
        frequency: of each field, in periods across the image.
        angle: direction of each field, in radians.
        stretch: of each field: how much longer its grain is than wide.
        roughness: share of high frequencies in noise, 0 to 1.
        warp: how far the plane is bent, in widths of the image.
        fold: how often the palette is run through.
        combine: how two fields become one: "add", "multiply" or "most".
        palette: `(colors, 3)`, 0 to 1.
        hard: whether the palette has edges instead of transitions.
    """

    kinds: tuple[str, ...]
    frequency: tuple[float, ...]
    angle: tuple[float, ...]
    stretch: tuple[float, ...]
    roughness: float
    warp: float
    fold: float
    combine: str
    palette: np.ndarray
    hard: bool


def random_texture(rng: np.random.Generator) -> Texture:
    """A class of surfaces."""
    count = int(rng.integers(1, 3))
    return Texture(
        kinds=tuple(str(kind) for kind in rng.choice(list(FIELDS), count, p=_SHARES)),
        frequency=tuple(np.exp(rng.uniform(np.log(0.7), np.log(9), count))),
        angle=tuple(rng.uniform(0, np.pi, count)),
        stretch=tuple(np.exp(rng.exponential(0.5, count))),
        roughness=float(rng.uniform(0, 1)),
        warp=float(rng.choice((0.0, rng.uniform(0.02, 0.25)))),
        fold=float(rng.choice((1.0, rng.uniform(1, 4)))),
        combine=str(rng.choice(("add", "multiply", "most"))),
        palette=random_palette(rng),
        hard=bool(rng.random() < 0.25),
    )


def random_palette(rng: np.random.Generator) -> np.ndarray:
    """2 to 5 colors `(n, 3)` of 0 to 1: a few hues of mostly low saturation, as things have."""
    count = int(rng.integers(2, 6))
    hue = rng.uniform() + rng.normal(0, rng.choice((0.03, 0.1, 0.3)), count)
    saturation = rng.beta(1.5, 2.5) * rng.uniform(0.4, 1.2, count)
    middle, spread = rng.uniform(0.25, 0.85), rng.uniform(0.05, 0.35)
    return from_hsv(hue, saturation, middle + spread * rng.uniform(-1.5, 1.5, count))


def from_hsv(hue, saturation, value) -> np.ndarray:
    """Colors `(n, 3)` of 0 to 1 from hue (periodic in 1), saturation and value, `(n,)` each."""
    turns = (hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1.0  # (n, 3)
    pure = np.clip(np.abs(turns * 6 - 3) - 1, 0, 1)
    saturation, value = (np.clip(x, 0, 1)[:, None] for x in (saturation, value))
    return (value * (1 - saturation + saturation * pure)).astype("float32")


def paint(texture: Texture, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colors `(S, S, 3)` of 0 to 1 at the places x, y `(S, S)`, of which -1 to 1 is the image."""
    if texture.warp:
        x, y = (
            part + texture.warp * _noise(x, y, 1.5, 1.0, 0.2, rng).astype("float32")
            for part in (x, y)
        )
    fields = [
        FIELDS[kind](*_turned(x, y, angle, stretch), frequency, texture.roughness, rng)
        for kind, frequency, angle, stretch in zip(
            texture.kinds, texture.frequency, texture.angle, texture.stretch, strict=True
        )
    ]
    return _colored(texture, _combined(texture.combine, fields))


def _turned(x, y, angle: float, stretch: float):
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (cos * x + sin * y), (cos * y - sin * x) / np.float32(stretch)


def _combined(how: str, fields: list[np.ndarray]) -> np.ndarray:
    if len(fields) == 1:
        return fields[0]
    first, second = fields
    if how == "add":
        return 0.6 * (first + second)
    return first * second if how == "multiply" else np.maximum(first, second)


def _colored(texture: Texture, field: np.ndarray) -> np.ndarray:
    """The palette run through by the field, of which -1 to 1 is the usual range."""
    place = (0.5 + 0.5 * field) * texture.fold
    place = np.abs((place + 1) % 2 - 1)  # back and forth, without a jump
    steps = len(texture.palette) - 1
    place = np.clip(place, 0, 1) * steps  # (S, S)
    low = np.minimum(place.astype("int32"), steps - 1)
    part = (place - low)[..., None]
    if texture.hard:
        part = np.clip((part - 0.5) * 8 + 0.5, 0, 1)
    return texture.palette[low] * (1 - part) + texture.palette[low + 1] * part


def _waves(x, y, frequency, roughness, rng):
    """Stripes: one wave and a weaker, oblique one."""
    phase, other = rng.uniform(0, 2 * np.pi, 2)
    first = np.sin(np.pi * frequency * x + phase)
    return first if roughness < 0.5 else 0.7 * first + 0.4 * np.sin(np.pi * frequency * y + other)


def _grain(x, y, frequency, roughness, rng):
    return _noise(x, y, frequency, 3.0, roughness, rng)


def _noise(x, y, frequency, octaves, roughness, rng):
    """A sum of waves of random directions, whose amplitude falls with their frequency."""
    times = np.exp2(rng.uniform(0, octaves, _WAVES))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, _WAVES))
    amplitude = times ** (roughness - 1.3)
    amplitude = (amplitude / np.sqrt((amplitude**2).sum())).astype("float32")
    waves = np.pi * frequency * times * np.stack([np.cos(angle), np.sin(angle)])  # (2, waves)
    places = np.stack([x.ravel(), y.ravel()], axis=1)  # (S * S, 2)
    arguments = places @ waves.astype("float32") + phase.astype("float32")
    return (np.cos(arguments) @ amplitude).reshape(x.shape)


def _cells(x, y, frequency, roughness, rng):
    """Distance to the nearest of scattered points, or how much farther the second one is."""
    count = int(np.clip(frequency * frequency * 0.8, 4, 40))
    px, py = rng.uniform(-1.2, 1.2, (2, count, 1)).astype("float32")
    distance = np.sqrt((x.ravel() - px) ** 2 + (y.ravel() - py) ** 2)  # (points, S * S)
    scale = np.float32(np.sqrt(count))
    if roughness < 0.5:
        return (distance.min(axis=0) * scale - 1).reshape(x.shape)
    first, second = np.partition(distance, 1, axis=0)[:2]
    return np.clip((second - first) * scale * 2 - 1, -1, 1).reshape(x.shape)


def _rings(x, y, frequency, roughness, rng):
    cx, cy = rng.uniform(-1, 1, 2)
    return np.sin(np.pi * frequency * np.sqrt((x - cx) ** 2 + (y - cy) ** 2) + 6 * roughness)


def _checks(x, y, frequency, roughness, rng):
    """Squares, or with roughness dots, in a lattice."""
    px, py = rng.uniform(0, 2 * np.pi, 2)
    product = np.sin(np.pi * frequency * x + px) * np.sin(np.pi * frequency * y + py)
    return np.tanh((1 + 8 * roughness) * product)


def _slope(x, y, frequency, roughness, rng):
    """A smooth transition from one side to the other."""
    return np.clip(x * (0.5 + roughness) + rng.normal(0, 0.3), -1, 1)


FIELDS = {
    "waves": _waves,
    "grain": _grain,
    "cells": _cells,
    "rings": _rings,
    "checks": _checks,
    "slope": _slope,
}
_SHARES = (0.15, 0.35, 0.15, 0.1, 0.1, 0.15)
