# SPDX-License-Identifier: MIT
"""Arrays in `.npz` files that may come from a stranger.

`numpy.load` believes the shape in a member's header and allocates it. Here the header is compared
with the size of the member before anything is allocated, and nothing is ever unpickled.
"""

import math
import os
import zipfile
from typing import IO, NamedTuple

import numpy as np

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_at_most
from keras_vit.untrusted.schema import shown
from keras_vit.untrusted.zips import open_zip

_MAX_RANK = 8
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What NumPy makes of a header that is no header.
_WRONG = (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError, OverflowError)


class Header(NamedTuple):
    """What a member declares.

    Attributes:
        shape: of the array.
        fortran: whether the first index runs fastest.
        dtype: of its numbers or text, never of objects.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype


def read_header(source: str, stream: IO[bytes], size: int) -> Header:
    """Reads the start of a member, and leaves the stream at its first number.

    Args:
        source: what errors call the array.
        stream: the member.
        size: its bytes.

    Raises:
        UserError: for anything but plain numbers or text that fill the member.
    """
    try:
        version = np.lib.format.read_magic(stream)
        header = Header(*_READERS[version](stream, max_header_size=limits.NPY_HEADER))
    except _WRONG as error:
        raise UserError(f"{source} is not a NumPy array ({error}).") from None
    if header.dtype.hasobject:
        raise UserError(
            f"{source} holds pickled Python objects, which run code when they are read. Only plain "
            "arrays are loaded; ask for them in another form."
        )
    sides = header.shape
    if len(sides) > _MAX_RANK or not all(type(side) is int and side >= 0 for side in sides):
        raise UserError(
            f"{source}: expected a shape of at most {_MAX_RANK} whole numbers, received "
            f"{shown(sides)}."
        )
    expected, received = math.prod(sides) * header.dtype.itemsize, size - stream.tell()
    if expected != received:
        raise UserError(
            f"{source}: shape {shown(sides)} of {header.dtype} has {expected} bytes, but the file "
            f"has {received}."
        )
    return header


def read_array(source: str, stream: IO[bytes], size: int) -> np.ndarray:
    """Reads a member whole; see `read_header`."""
    header = read_header(source, stream, size)
    expected = math.prod(header.shape) * header.dtype.itemsize
    raw = read_at_most(stream, expected)
    if len(raw) != expected:
        raise UserError(f"{source}: the file ends within it.")
    array = np.frombuffer(raw, header.dtype) if header.dtype.itemsize else np.zeros(0, header.dtype)
    return array.reshape(header.shape, order="F" if header.fortran else "C")


def read_npz(path: str | os.PathLike, bounds: limits.Zip) -> dict[str, np.ndarray]:
    """Reads every array of a file.

    Raises:
        UserError: names the file and the array that is pickled, damaged, or not what it declares.
    """
    with open_zip(path, bounds) as archive:
        return {
            info.filename.removesuffix(".npy"): _member(path, archive, info)
            for info in archive.infolist()
        }


def _member(path: str | os.PathLike, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as stream:
        return read_array(f"{path}: {name!r}", stream, info.file_size)
