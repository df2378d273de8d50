# SPDX-License-Identifier: MIT
"""What all drawings share: places, outlines, light and the camera."""

import numpy as np

SIDE = 64


def places() -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel's middle, float32 `(S, S)`, -1 to 1, y downwards."""
    line = (np.arange(SIDE, dtype="float32") + 0.5) * (2 / SIDE) - 1
    return np.meshgrid(line, line)


X, Y = places()


def moved(x, y, shift, turn: float, size, mirror: bool = False):
    """Places as something sees them that was shifted, turned (radians) and scaled (one or two)."""
    wide, high = np.broadcast_to(np.asarray(size, "float32"), 2)
    x, y = x - np.float32(shift[0]), y - np.float32(shift[1])
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = (cos * x + sin * y) / wide, (cos * y - sin * x) / high
    return (-x if mirror else x), y


def inside(x, y, waves: np.ndarray, sharpness: float) -> np.ndarray:
    """How far each place is inside an outline, 0 to 1, `(S, S)`.

    The outline is a circle whose radius is modulated by waves of the angle (arXiv 2303.01112 and
    2206.09132 draw such contours).

    Args:
        x, y: places `(S, S)`, in radii.
        waves: `(n, 3)`: periods, amplitude and phase of each.
        sharpness: pixels to a radius.
    """
    radius, angle = np.sqrt(x * x + y * y), np.arctan2(y, x)
    edge = np.ones_like(radius)
    for periods, amplitude, phase in waves.astype("float32"):
        edge += amplitude * np.cos(periods * angle + phase)
    return np.clip((edge - radius) * np.float32(sharpness) + np.float32(0.5), 0, 1)


def random_outline(rng: np.random.Generator) -> np.ndarray:
    """Waves `(n, 3)` for `inside`."""
    count = int(rng.integers(0, 4))
    periods = rng.integers(2, 9, count)
    amplitude = rng.uniform(0.05, 0.5, count) / np.sqrt(np.maximum(periods, 1))
    return np.stack([periods, amplitude, rng.uniform(0, 2 * np.pi, count)], axis=1)


def photographed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image `(S, S, 3)` of 0 to 1 in another light and through another lens, uint8."""
    direction, strength = rng.uniform(0, 2 * np.pi), abs(rng.normal(0, 0.2))
    light = 1 + strength * (np.cos(direction) * X + np.sin(direction) * Y)
    tint = np.exp(rng.normal(0, 0.07, 3)) * np.exp(rng.normal(0, 0.15))
    image = image * light[..., None] * tint.astype("float32")
    image = 0.5 + (image - 0.5) * np.float32(np.exp(rng.normal(0, 0.15)))
    if rng.random() < 0.5:
        image = blurred(image)
    image = image + rng.normal(0, rng.exponential(0.015), image.shape).astype("float32")
    return (np.clip(image, 0, 1) * 255 + 0.5).astype("uint8")


def blurred(image: np.ndarray) -> np.ndarray:
    """Half the resolution, and back: what an enlarged photograph looks like."""
    half = image.reshape(SIDE // 2, 2, SIDE // 2, 2, -1).mean(axis=(1, 3))  # (S / 2, S / 2, 3)
    padded = np.pad(half, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for axis in (0, 1):
        before, here, after = (
            padded.take(range(start, padded.shape[axis] - 2 + start), axis) for start in (0, 1, 2)
        )
        pair = np.stack([0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after], axis + 1)
        shape = list(here.shape)
        shape[axis] *= 2
        padded = pair.reshape(shape)
    return padded
