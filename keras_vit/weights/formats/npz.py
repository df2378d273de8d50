# SPDX-License-Identifier: MIT
"""NumPy's `.npz`: a zip file of `.npy` members, read without ever unpickling.

`numpy.load` believes the shape in a member's header and allocates it. Here the header is compared
with the size of the member before anything is allocated.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.weights.formats.checkpoint import (
    Checkpoint,
    Spec,
    check_name,
    check_shape,
    from_bfloat16,
)

# Weights hardly compress. A file that unpacks to this many times its size is a bomb.
MAX_RATIO = 100
# Small files are harmless whatever their ratio.
MAX_SMALL = 64 * 2**20
MAX_HEADER = 4096

# From zipfile: NotImplementedError for unknown compressions, RuntimeError for passwords.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


def open_npz(path: str | os.PathLike) -> Checkpoint:
    """Opens a file; reads the headers of its members only.

    big_vision's bfloat16, which NumPy stores as raw 2-byte values (`|V2`), is recognised.

    Raises:
        UserError: for a pickled, truncated, lying or otherwise unsound file.
    """
    path = Path(path)
    specs: dict[str, Spec] = {}
    layouts: dict[str, tuple[str, np.dtype, bool]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(path, members)
            for member in members:
                name = member.filename.removesuffix(".npy")
                check_name(str(path), name)
                if name in specs:
                    raise UserError(f"{path}: the tensor {name!r} is in the file twice.")
                with archive.open(member) as stream:
                    shape, fortran, dtype = _member_header(path, name, stream, member.file_size)
                specs[name] = Spec(shape, _type_name(path, name, dtype))
                layouts[name] = (member.filename, dtype, fortran)
    except _DAMAGED as error:
        raise _damaged(path, error) from None

    def read(name: str) -> np.ndarray:
        filename, dtype, fortran = layouts[name]
        shape = specs[name].shape
        try:
            with zipfile.ZipFile(path) as archive, archive.open(filename) as stream:
                _member_header(path, name, stream, archive.getinfo(filename).file_size)
                raw = stream.read()  # bounded by the zip directory, and compared with the header
        except _DAMAGED as error:
            raise _damaged(path, error) from None
        if len(raw) != specs[name].size * dtype.itemsize:
            raise UserError(f"{path}: the file ends within {name!r}. Download it again.")
        array = np.frombuffer(raw, np.uint16 if dtype.kind == "V" else dtype)
        array = from_bfloat16(array) if dtype.kind == "V" else array
        return array.reshape(shape, order="F" if fortran else "C")

    return Checkpoint(str(path), specs, read)


def write_npz(
    path: str | os.PathLike,
    tensors: Iterable[tuple[str, tuple[int, ...], Callable[[], np.ndarray]]],
) -> None:
    """Writes float32 tensors, uncompressed, one in memory at a time.

    Args:
        path: the file, replaced at once when all is written.
        tensors: name, shape and maker of each.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, _, make in sorted(tensors, key=lambda tensor: tensor[0]):
            # A fixed date: equal weights give equal files.
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as stream:
                array = np.asarray(make(), np.float32, order="C")
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _check_sizes(path: Path, members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    limit = max(MAX_SMALL, MAX_RATIO * path.stat().st_size)
    if total > limit:
        raise UserError(
            f"{path}: unpacks to {total} bytes, more than {MAX_RATIO} times its size. "
            "Weights do not compress so well: the file is damaged or hostile."
        )
    if not members:
        raise UserError(f"{path}: the file has no tensors.")


def _member_header(
    path: Path, name: str, stream: BinaryIO, available: int
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type; the stream is left at the first number."""
    try:
        version = np.lib.format.read_magic(stream)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, fortran, dtype = readers[version](stream, max_header_size=MAX_HEADER)
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: {name!r} is not a NumPy array ({error}).") from None
    if dtype.hasobject:
        raise UserError(
            f"{path}: {name!r} holds pickled Python objects, which run code when they are read. "
            "Only arrays of numbers are loaded; ask for the weights in another form."
        )
    shape = check_shape(str(path), name, shape)
    expected = Spec(shape, dtype.name).size * dtype.itemsize
    if expected != available - stream.tell():
        raise UserError(
            f"{path}: {name!r}: shape {shape} of {dtype} has {expected} bytes, but the file has "
            f"{available - stream.tell()}."
        )
    return shape, fortran, dtype


def _type_name(path: Path, name: str, dtype: np.dtype) -> str:
    if dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None:
        return "bfloat16"
    if dtype.kind not in "fiub":
        raise UserError(f"{path}: {name!r}: expected numbers, received the type {dtype}.")
    return dtype.newbyteorder("=").name


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a sound .npz file ({error}). Download it again.")
