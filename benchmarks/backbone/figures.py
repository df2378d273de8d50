# SPDX-License-Identifier: MIT
"""Figures of a few parts before a background, half hidden at times: what a photograph is, roughly.

A class is a figure: 1 to 5 parts with outlines, places and surfaces, and the surroundings that it
is often seen in. An image shows it in another pose, size, light and often elsewhere. Four classes
share each shape, four share the surfaces, and ten the surroundings: who looks at one of these alone
is wrong three times in four.
"""

import dataclasses

import canvas
import numpy as np
from textures import Texture, paint, random_texture

_SHARED = 4  # classes to a shape, and to a choice of surfaces


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a figure: its outline, where it is in the figure, and its surface."""

    waves: np.ndarray
    shift: tuple[float, float]
    turn: float
    size: tuple[float, float]
    surface: int
    round: bool


@dataclasses.dataclass(frozen=True)
class Figure:
    """A class: parts from the back to the front, their surfaces, and the usual surroundings."""

    parts: tuple[Part, ...]
    surfaces: tuple[Texture, ...]
    surroundings: tuple[Texture, ...]
    upright: bool
    symmetric: bool


def random_figures(count: int, generator) -> list[Figure]:
    """So many classes.

    Args:
        count: how many.
        generator: gives the random numbers of a name and a number.
    """
    return [_random_figure(label, -(-count // _SHARED), generator) for label in range(count)]


def _random_figure(label: int, shapes: int, generator) -> Figure:
    shape = generator("shape", label % shapes)
    parts = tuple(_random_part(shape, index) for index in range(shape.integers(1, 6)))
    upright, symmetric = shape.random() < 0.7, shape.random() < 0.5
    return Figure(
        parts,
        _textures(generator("surfaces", label // _SHARED), 3),
        _textures(generator("surroundings", label // 10), 2),
        upright,
        symmetric,
    )


def _textures(rng, most: int) -> tuple[Texture, ...]:
    return tuple(random_texture(rng) for _ in range(rng.integers(1, most + 1)))


def _random_part(rng, index: int) -> Part:
    first = index == 0
    size = rng.uniform(0.35, 0.6) if first else rng.uniform(0.1, 0.35)
    shape = np.exp(rng.normal(0, 0.45))
    angle, distance = rng.uniform(0, 2 * np.pi), 0.0 if first else rng.uniform(0.2, 0.65)
    return Part(
        waves=canvas.random_outline(rng),
        shift=(distance * np.cos(angle), distance * np.sin(angle)),
        turn=rng.uniform(0, np.pi),
        size=(size * np.sqrt(shape), size / np.sqrt(shape)),
        surface=0 if first else int(rng.integers(3)),  # of as many as the figure has
        round=rng.random() < 0.6,
    )


def draw(figure: Figure, others: list[Figure], rng: np.random.Generator) -> np.ndarray:
    """An image, uint8 `(S, S, 3)`.

    Args:
        figure: what it shows.
        others: classes whose surroundings and surfaces may be seen as well.
    """
    stranger = others[rng.integers(len(others))]
    usual = rng.random() < 0.5
    image = _background((figure if usual else stranger).surroundings, rng)
    for _ in range(rng.poisson(1.0)):
        image = _blob(image, others[rng.integers(len(others))].surfaces[0], 0.3, rng)
    image = _put(image, figure, rng)
    if rng.random() < 0.25:
        image = _blob(image, stranger.surfaces[0], 0.25, rng)
    return canvas.photographed(image, rng)


def _background(surroundings: tuple[Texture, ...], rng) -> np.ndarray:
    """One surface, or two that meet at a horizon."""
    x, y = _looked_at(rng)
    image = paint(surroundings[0], x, y, rng)
    if len(surroundings) == 1:
        return image
    below = canvas.Y - rng.normal(0.1, 0.3) - rng.normal(0, 0.15) * canvas.X
    below = np.clip(below * canvas.SIDE / 3, 0, 1)[..., None]
    return image * (1 - below) + paint(surroundings[1], x, y, rng) * below


def _looked_at(rng):
    """The plane of a surface, seen from another place."""
    size = np.exp(rng.normal(0, 0.25))
    return canvas.moved(canvas.X, canvas.Y, rng.uniform(-1, 1, 2), rng.normal(0, 0.3), size)


def _blob(image, surface: Texture, size: float, rng) -> np.ndarray:
    """The image with a plain shape of that surface somewhere."""
    sizes = size * np.exp(rng.normal(0, 0.4, 2))
    x, y = canvas.moved(canvas.X, canvas.Y, rng.uniform(-1, 1, 2), rng.uniform(0, np.pi), sizes)
    cover = canvas.inside(x, y, canvas.random_outline(rng), sizes.min() * canvas.SIDE / 2)
    cover = cover[..., None]  # (S, S, 1)
    return image * (1 - cover) + paint(surface, *_looked_at(rng), rng) * cover


def _put(image: np.ndarray, figure: Figure, rng) -> np.ndarray:
    """The image with the figure before it."""
    size = np.exp(rng.normal(0.05, 0.25))
    shape = np.exp(rng.normal(0, 0.12))
    turn = rng.normal(0, 0.2) if figure.upright else rng.uniform(0, 2 * np.pi)
    x, y = canvas.moved(
        canvas.X,
        canvas.Y,
        rng.normal(0, 0.22, 2),
        turn,
        (size * shape, size / shape),
        mirror=rng.random() < 0.5,
    )
    light = rng.uniform(0, 2 * np.pi)
    surfaces = [paint(surface, x, y, rng) for surface in figure.surfaces]
    for part in figure.parts:
        surface = surfaces[part.surface % len(surfaces)]
        image = _put_part(image, part, (x, y), surface, size, light, rng)
        if figure.symmetric and abs(part.shift[0]) > 0.1:
            image = _put_part(image, part, (-x, y), surface, size, light, rng)
    return image


def _put_part(image, part: Part, place, surface, size: float, light: float, rng) -> np.ndarray:
    """The image with a part before it, a little elsewhere than in the last image."""
    shift = np.asarray(part.shift) + rng.normal(0, 0.03, 2)
    sizes = np.asarray(part.size) * np.exp(rng.normal(0, 0.08, 2))
    x, y = canvas.moved(*place, shift, part.turn + rng.normal(0, 0.12), sizes)
    cover = canvas.inside(x, y, part.waves, sizes.min() * size * canvas.SIDE / 2)
    cover = cover[..., None]  # (S, S, 1)
    shade = 1.0
    if part.round:  # lit from one side, as a ball is
        shade = (1 + 0.35 * (np.cos(light) * x + np.sin(light) * y)).clip(0.4, 1.6)[..., None]
    return image * (1 - cover) + surface * shade * cover
