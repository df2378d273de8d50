# SPDX-License-Identifier: MIT
"""Reading one image without TensorFlow, to the same pixels that training sees.

The tf.data pipeline decodes JPEG with the accurate DCT, as Pillow does: the decoded pixels are
equal, and a resized one differs by less than 0.001 of 255.
"""

import glob
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from keras_vit.data.image_set import Split
from keras_vit.errors import UserError
from keras_vit.progress import track

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # what tf.data decodes, whatever the suffix says
_KINDS = "JPEG, PNG, BMP, GIF or WebP"
_ORIENTATION = 0x0112  # tag number in EXIF
MAX_PIXELS = 100_000_000  # a file of 1 MB can unfold to gigabytes; read from the header


def read_image(
    path: str | os.PathLike | io.BytesIO,
    size: tuple[int, int],
    channels: int = 3,
    crop: float = 1.0,
) -> np.ndarray:
    """Reads, orients, crops and resizes an image as evaluation does.

    Args:
        path: a JPEG, PNG, BMP, GIF (its first frame) or WebP file, or its contents.
        size: height and width of the result in pixels.
        channels: 1 for grey, 3 for colour.
        crop: share of the largest centred box of the right aspect ratio that is kept, above 0 to 1.

    Returns:
        float32 `(height, width, channels)`, 0 to 255.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    with opened(path) as image:
        turned = orientation_of(image) != 1
        load_pixels(image, path)
        if turned:
            image = ImageOps.exif_transpose(image)
        pixels = _to_array(image, channels)
    return resize_to_fit(pixels, size, crop)


def resize_to_fit(pixels: np.ndarray, size: tuple[int, int], crop: float = 1.0) -> np.ndarray:
    """Crops the centre and resizes with an antialiased triangle filter; see `read_image`."""
    top, left, height, width = centre_box(pixels.shape[0], pixels.shape[1], size, crop)
    box = pixels[top : top + height, left : left + width].astype("float32")
    if box.shape[:2] == tuple(size):
        return box
    planes = [
        # Mode "F": Pillow would round 8-bit images after each of the two passes.
        Image.fromarray(box[..., c]).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        for c in range(box.shape[-1])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def centre_box(height: int, width: int, size: tuple[int, int], crop: float) -> tuple[int, ...]:
    """The largest centred box with the aspect ratio of `size`, times `crop`.

    Returns:
        top, left, height, width in pixels; height and width are at least 1.
    """
    scale = min(height / size[0], width / size[1]) * crop
    box_height = max(1, min(height, round(size[0] * scale)))
    box_width = max(1, min(width, round(size[1] * scale)))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def opened(path: str | os.PathLike | io.BytesIO) -> Image.Image:
    """Opens an image file and reads its header, or raises a `UserError` that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=_FORMATS)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: has more than the limit of {MAX_PIXELS:,} pixels.") from error
    except (OSError, SyntaxError, ValueError) as error:
        size = len(path.getbuffer()) if isinstance(path, io.BytesIO) else Path(path).stat().st_size
        reason = f"is not a readable image ({size:,} bytes; expected {_KINDS})"
        reason = reason if size else "is empty (0 bytes)"
        raise UserError(f"{path}: {reason}.") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise UserError(
            f"{path}: has more than the limit of {MAX_PIXELS:,} pixels "
            f"({image.width} x {image.height})."
        )
    return image


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (Path takes seconds for 60,000 files)


def find_images(names: Iterable[str]) -> list[str]:
    """Finds image files.

    Args:
        names: files (kept whatever their suffix), folders (searched at any depth) and patterns such
            as `"new/*.jpg"`.

    Raises:
        UserError: when there is nothing.
    """
    found = []
    for name in names:
        if Path(name).is_dir():
            found += sorted(str(p) for p in Path(name).rglob("*") if p.suffix.lower() in SUFFIXES)
        elif glob.has_magic(name) and not Path(name).exists():
            found += sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (absolute patterns too)
        elif name.strip():
            found.append(name)
    if not found:
        raise UserError(
            f"no images in {' '.join(names) or 'standard input'}. Expected files, folders or "
            f"patterns of {' '.join(sorted(SUFFIXES))} files."
        )
    return found


def load_pixels(image: Image.Image, path: str | os.PathLike | io.BytesIO) -> None:
    """Decodes an opened image, or raises a `UserError` that names its file."""
    try:
        image.load()
    except Exception as error:  # OSError, SyntaxError, struct.error ...: each format has its own
        raise UserError(f"{path}: cannot be decoded ({error}).") from error


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an opened image, 1 (upright) to 8, from its header alone."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # to look for it behind the pixels, Pillow would decode them all
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _to_array(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow clips 16-bit grey to white
        pixels = (np.asarray(image).astype("uint32") >> 8).astype("uint8")[..., None]
        return np.repeat(pixels, channels, axis=-1)
    if channels == 3:
        return np.asarray(image.convert("RGB"))
    return np.asarray(image.convert("L"))[..., None]


def split_batches(
    split: Split,
    size: tuple[int, int],
    channels: int,
    crop: float,
    batch_size: int,
    doing: str = "reading images",
) -> Iterator[np.ndarray]:
    """Every image of a split once, in order, read without TensorFlow.

    Args:
        split: examples.
        size, channels, crop: see `read_image`.
        batch_size: images in a batch; the last may have fewer.
        doing: what they are read for; see `keras_vit.progress.step`.

    Yields:
        float32 `(batch, height, width, channels)`, 0 to 255.
    """
    starts = range(0, len(split), batch_size)
    batches = (range(start, min(start + batch_size, len(split))) for start in starts)
    for indices in track(batches, doing, len(split), size=len):
        yield np.stack([_read_example(split, i, size, channels, crop) for i in indices])


def _read_example(split: Split, index: int, size, channels: int, crop: float) -> np.ndarray:
    if split.paths is not None:
        return read_image(split.paths[index], size, channels, crop)
    if split.encoded is not None:
        return read_image(io.BytesIO(split.encoded[index]), size, channels, crop)
    pixels = split.arrays[index]
    mode = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return resize_to_fit(_to_array(mode, channels), size, crop)
