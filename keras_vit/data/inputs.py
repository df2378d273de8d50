# SPDX-License-Identifier: MIT
"""An image in whatever form a caller holds it: a file, a URL, an array, or an image of Pillow's."""

import io
import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from keras_vit.data.images import (
    orientation_of,
    pixels_of,
    read_image,
    resize_to_fit,
    upright,
)
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing
from keras_vit.untrusted import limits

_CHUNK = 2**16  # bytes that are read at a time


def is_one_image(images: Any) -> bool:
    """Whether this is an image, and not several of them."""
    if isinstance(images, np.ndarray):
        return images.ndim in (2, 3) and images.dtype.kind in "uifb"
    return isinstance(images, str | os.PathLike | Image.Image)


def check_several(images: Any) -> None:
    """Raises the `UserError` of what is neither an image nor several of them."""
    several = isinstance(images, Iterable) and not isinstance(images, bytes | bytearray)
    received = type(images).__name__
    if isinstance(images, np.ndarray) and images.dtype.kind in "uifb":
        several, received = images.ndim == 4, f"an array of shape {images.shape}"
    if not several:
        raise UserError(
            "expected an image or several: a path, a URL, an image of Pillow's, an array (height, "
            f"width, channels) or (n, height, width, channels), or a list; received {received}."
        )


def is_url(name: object) -> bool:
    """Whether this is an address of the web."""
    return isinstance(name, str) and name.lower().startswith(("http://", "https://"))


def name_of(image: Any, place: int) -> str:
    """What to call an image: its path or URL, or "image 3" for one in memory."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {place}"


def read_any(image: Any, name: str, preprocessing: Preprocessing) -> np.ndarray:
    """Reads an image in any form; the arguments and the result are those of `read_image`.

    Args:
        image: a path, a URL, an image of Pillow's, or an array `(height, width)` or `(height,
            width, 1 or 3)` of pixels of 0 to 255.
        name: what to call it in an error.
        preprocessing: what is made of the image.
    """
    if is_url(image):
        try:
            return read_image(io.BytesIO(download(image)), preprocessing)
        except UserError as error:
            reason = str(error).partition(">: ")[2]  # it was said of the contents in memory
            raise UserError(f"{image}: {reason}" if reason else str(error)) from error
    if isinstance(image, str | os.PathLike):
        if not os.fspath(image):
            raise UserError("expected the path of an image, received an empty one.")
        return read_image(image, preprocessing)
    if isinstance(image, Image.Image):
        pixels = upright(pixels_of(image, name), orientation_of(image))
    elif isinstance(image, np.ndarray):
        pixels = _checked(image, name)
    else:
        raise UserError(
            f"{name}: expected a path, a URL, an image of Pillow's or an array of NumPy's, "
            f"received {type(image).__name__}."
        )
    return resize_to_fit(pixels, preprocessing)


def download(url: str) -> bytes:
    """The contents of a URL, which stay in memory: small, soon there, and by http or https.

    Raises:
        UserError: when it cannot be had, is larger than `limits.WEB_IMAGE`, takes longer than
            `limits.WEB_SECONDS`, or leads to anything but http and https.
    """
    import http.client  # to import these takes as long as to read an image
    import urllib.error
    import urllib.parse
    import urllib.request

    from keras_vit.untrusted.web import web_alone

    deadline = time.monotonic() + limits.WEB_SECONDS
    try:
        quoted = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        request = urllib.request.Request(quoted, headers={"User-Agent": "keras_vit"})
        with web_alone().open(request, timeout=limits.WEB_SILENCE) as response:
            content = io.BytesIO()
            while chunk := response.read1(_CHUNK):
                content.write(chunk)
                if content.tell() > limits.WEB_IMAGE:
                    raise UserError(f"{url}: has more than {limits.WEB_IMAGE:,} bytes, the limit.")
                if time.monotonic() > deadline:
                    raise UserError(f"{url}: took more than {limits.WEB_SECONDS} s, the limit.")
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, UserError):
            raise
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        if isinstance(error, urllib.error.HTTPError):
            reason = str(error)  # with its number
            error.close()
        raise UserError(f"{url}: could not be downloaded ({reason}).") from error
    return content.getvalue()


def _checked(array: np.ndarray, name: str) -> np.ndarray:
    """The pixels of an array, uint8 `(height, width, 1 or 3)`."""
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise UserError(
            f"{name}: expected an array of shape (height, width) or (height, width, 1 or 3), "
            f"received {array.shape}."
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "uif" or not np.isfinite(array).all():
        raise UserError(f"{name}: expected finite numbers, received {array.dtype} or NaN.")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 255 or (array.dtype.kind == "f" and 0 < high <= 1):
        raise UserError(
            f"{name}: expected pixels of 0 to 255, received {low:g} to {high:g}. Normalisation is "
            "part of the model: give the pixels as they come from the file."
        )
    return np.rint(array).astype("uint8")
