# SPDX-License-Identifier: MIT
"""Reading one image without TensorFlow, to the same pixels that training sees.

What a file may be is decided here: training (`keras_vit.data.pipeline.decoding`), the audit and
predictions use `opened` and `pixels_of`, but for plain JPEG in training. The tf.data pipeline
decodes that with the accurate DCT, as Pillow does: the decoded pixels are equal, and a resized one
differs by less than 0.001 of 255.
"""

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing
from keras_vit.threads import Room
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import open_regular

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".heif"}
)
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")  # whatever the suffix says
_KINDS = "JPEG, PNG, BMP, GIF, WebP, TIFF or HEIC"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_UPRIGHT = ("TIFF", "HEIF")  # formats that Pillow turns while it decodes
_ORIENTATION = 0x0112  # tag number in EXIF
_TURNS = (0, 0, 0, 2, 2, 1, 3, 3, 1)  # quarter turns, counter-clockwise, by orientation
_MIRRORED = (2, 4, 5, 7)
_FILTERS = {
    "triangle": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Pixels that threads decode at a time: no more memory than the largest image takes alone.
ROOM = Room(limits.IMAGE_PIXELS)
_LOCK = threading.Lock()  # what silences warnings is shared by all threads


def read_image(path: str | os.PathLike | io.BytesIO, preprocessing: Preprocessing) -> np.ndarray:
    """Reads, orients, crops and resizes an image as evaluation does.

    Args:
        path: a JPEG, PNG, BMP, GIF, WebP, TIFF or HEIC file (of several frames the first), or its
            contents.
        preprocessing: what is made of the image.

    Returns:
        float32 `(height, width, channels)`, 0 to 255.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    with opened(path) as image, ROOM.taken(image.width * image.height):
        return resize_to_fit(_upright_pixels(image, path), preprocessing)


def read_upright(path: str | os.PathLike | io.BytesIO) -> np.ndarray:
    """Reads and orients an image, uint8 `(height, width, 3)`; see `read_image`."""
    with opened(path) as image:
        return _upright_pixels(image, path)


def _upright_pixels(image: Image.Image, path: str | os.PathLike | io.BytesIO) -> np.ndarray:
    orientation = orientation_of(image)
    return upright(pixels_of(image, path), orientation)


def resize_to_fit(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """From uint8 `(height, width, 1 or 3)` to what a model sees; see `Preprocessing`.

    Returns:
        float32 `(height, width, channels)` of the wanted size, 0 to 255.
    """
    pixels, size = with_channels(pixels, preprocessing.channels), preprocessing.image_size
    top, left, height, width = preprocessing.box(*pixels.shape[:2])
    if preprocessing.view.framing == "box":  # cut out first: its neighbours have no influence
        pixels = pixels[int(top) : int(top + height), int(left) : int(left + width)]
        top = left = 0
    pixels = pixels.astype("float32")
    if pixels.shape[:2] == tuple(size) == (height, width):
        return pixels
    # The box may end a rounding error after the image.
    bottom, right = min(top + height, pixels.shape[0]), min(left + width, pixels.shape[1])
    method = _FILTERS[preprocessing.view.interpolation]
    planes = [
        # Mode "F": Pillow would round 8-bit images after each of the two passes. Its sizes are
        # (width, height), its boxes (left, top, right, bottom).
        Image.fromarray(plane).resize((size[1], size[0]), method, (left, top, right, bottom))
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1).clip(0, 255)


@contextlib.contextmanager
def opened(path: str | os.PathLike | io.BytesIO) -> Iterator[Image.Image]:
    """Opens an image file, or its contents, and reads its header.

    Raises:
        UserError: names the file, which is no regular file, is none of the formats, or is larger
            than a limit, in bytes or in pixels.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(path, io.BytesIO):
            stream: BinaryIO = path
            size = len(path.getbuffer())
        else:
            stream = stack.enter_context(io.BufferedReader(open_regular(path)))
            size = os.fstat(stream.fileno()).st_size
        if not size:
            raise UserError(f"{path}: is empty (0 bytes).")
        if size > limits.IMAGE:
            raise UserError(f"{path}: has {size:,} bytes; the limit is {limits.IMAGE:,}.")
        image = stack.enter_context(_header(path, stream, size))
        _check_pixels(path, image)
        yield image


def _header(path: object, stream: BinaryIO, size: int) -> Image.Image:
    try:
        formats = _FORMATS if not _is_heic(stream) else _heic_formats(path)
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what else the header says
            return Image.open(stream, formats=formats)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: has more than the limit of {limits.IMAGE_PIXELS:,} pixels."
        ) from error
    except Exception as error:  # OSError, SyntaxError, struct.error ...: each format has its own
        raise UserError(
            f"{path}: is not a readable image ({size:,} bytes; expected {_KINDS})."
        ) from error


def _check_pixels(path: object, image: Image.Image) -> None:
    sides = f"({image.width} x {image.height})"
    if image.width * image.height > limits.IMAGE_PIXELS:
        raise UserError(
            f"{path}: has more than the limit of {limits.IMAGE_PIXELS:,} pixels {sides}."
        )
    if not 0 < min(image.size) <= max(image.size) <= limits.IMAGE_SIDE:
        raise UserError(
            f"{path}: expected sides of 1 to {limits.IMAGE_SIDE:,} pixels, received {sides}."
        )


def _is_heic(stream: BinaryIO) -> bool:
    start = stream.read(12)
    stream.seek(0)
    return start[4:8] == b"ftyp" and start[8:] in _HEIC


def _heic_formats(path: object) -> tuple[str, ...]:
    try:
        import pillow_heif
    except ImportError:
        raise UserError(
            f"{path}: is a HEIC image, which needs a package more: pip install "
            "'keras-vit-toolkit[heif]'"
        ) from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (Path takes seconds for 60,000 files)


def pixels_of(image: Image.Image, path: str | os.PathLike | io.BytesIO) -> np.ndarray:
    """Decodes an opened image, of several frames the first.

    Returns:
        uint8 `(height, width, 3)` as they are stored, before the orientation is applied. Of 16 bits
        the upper 8 are used; transparency is ignored.

    Raises:
        UserError: names the file and why it cannot be decoded.
    """
    try:
        image.load()
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
            grey = (np.asarray(image).astype("uint32") >> 8).astype("uint8")  # Pillow would clip
            return np.repeat(grey[..., None], 3, axis=-1)
        if image.mode in ("I", "F"):
            raise UserError(f"expected 8 or 16 bits to a channel, received {image.mode!r} of 32")
        image.info.pop("transparency", None)  # Pillow warns of some forms of it
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # OSError, SyntaxError, struct.error ...: each format has its own
        raise UserError(f"{path}: cannot be decoded ({error}).") from error


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an opened image, 1 (upright) to 8, from its header alone; 1 where the
    EXIF data cannot be read."""
    return orientation_or_none(image) or 1


def orientation_or_none(image: Image.Image) -> int | None:
    """The same, but None where the EXIF data cannot be read."""
    if image.format in _UPRIGHT:
        return 1
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # to look for it after the pixels, Pillow would decode them all
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("error")
            # Pillow may have read it already, and said nothing.
            Image.Exif().load(image.info.get("exif", b""))
            value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # of each way to be damaged another one
        return None
    return int(value) if value in range(1, 9) else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation, 1 to 8: first mirror, then rotate."""
    if orientation in _MIRRORED:
        pixels = pixels[:, ::-1]
    return np.rot90(pixels, _TURNS[orientation])


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels `(height, width, 1 or 3)`, uint8, with as many channels as a model takes."""
    if channels == pixels.shape[-1]:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    return np.asarray(grey)[..., None]
