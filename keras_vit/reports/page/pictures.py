# SPDX-License-Identifier: MIT
"""Small pictures inside a page, as data URIs."""

import base64
import io

import numpy as np
from PIL import Image

_SIDE = 160  # pixels of the longer side at most: about as large as they are shown
_SMALL = 48  # up to here pixels are stored exactly, and shown as squares
# Five colors of matplotlib's "magma", dark to light: read right by the color-blind and in grey.
_COLORS = np.array(
    [(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)], "float32"
)
_COVER = 0.55  # of a map over its image


def picture(image: np.ndarray) -> str:
    """An image as a data URI.

    Args:
        image: `(height, width, 1 or 3)`, 0 to 255.
    """
    pixels = np.clip(np.round(image), 0, 255).astype("uint8")
    shown = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    shown.thumbnail((_SIDE, _SIDE))
    return _uri(shown)


def map_over(image: np.ndarray, found: np.ndarray) -> str:
    """The map of an image's patches over the image, as a data URI.

    Args:
        image: `(height, width, 1 or 3)`, 0 to 255.
        found: float `(rows, columns)`, at least 0.
    """
    height, width = image.shape[:2]
    level = found / max(float(found.max()), 1e-12)
    smooth = Image.fromarray(level.astype("float32")).resize((width, height), Image.BILINEAR)
    colors = _colored(np.asarray(smooth))  # (height, width, 3)
    return picture((1 - _COVER) * np.broadcast_to(image, colors.shape) + _COVER * colors)


def cells(found: np.ndarray, low: float = 0.0, high: float | None = None) -> str:
    """A map as a data URI, one square for each patch.

    Args:
        found: float `(rows, columns)`.
        low: what is black.
        high: what is brightest; by default the largest.
    """
    high = float(found.max()) if high is None else high
    return _uri(Image.fromarray(_colored((found - low) / max(high - low, 1e-12)).astype("uint8")))


def filter_picture(kernel: np.ndarray) -> str:
    """A filter of the patch projection as a data URI, from its least to its largest number.

    Args:
        kernel: float `(height, width, channels)`; other than three become their mean.
    """
    level = (kernel - kernel.min()) / max(float(np.ptp(kernel)), 1e-12)
    level = level if level.shape[-1] == 3 else level.mean(axis=-1, keepdims=True)
    return picture(255 * level)


def encoded(content: bytes) -> str:
    """A PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _colored(level: np.ndarray) -> np.ndarray:
    """Colors `(..., 3)`, 0 to 255, of values of 0 to 1."""
    places = np.linspace(0, 1, len(_COLORS))
    return np.stack([np.interp(level, places, channel) for channel in _COLORS.T], axis=-1)


def png(image: Image.Image) -> str:
    """An image as a data URI, exactly."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return encoded(file.getvalue())


def _uri(image: Image.Image) -> str:
    if max(image.size) <= _SMALL:
        return png(image)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
