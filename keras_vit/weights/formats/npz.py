# SPDX-License-Identifier: MIT
"""NumPy's `.npz`: a zip file of `.npy` members, read without ever unpickling."""

import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.untrusted import limits
from keras_vit.untrusted.npy import read_array, read_header
from keras_vit.untrusted.zips import open_zip
from keras_vit.weights.formats.checkpoint import Checkpoint, Spec, check_name, from_bfloat16


def open_npz(path: str | os.PathLike) -> Checkpoint:
    """Opens a file; reads the headers of its members only.

    big_vision's bfloat16, which NumPy stores as raw 2-byte values (`|V2`), is recognised.

    Raises:
        UserError: for a pickled, truncated, lying or otherwise unsound file.
    """
    path = Path(path)
    specs: dict[str, Spec] = {}
    members: dict[str, str] = {}
    with open_zip(path, limits.WEIGHTS) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            check_name(str(path), name)
            if name in specs:
                raise UserError(f"{path}: the tensor {name!r} is in the file twice.")
            with archive.open(member) as stream:
                header = read_header(f"{path}: {name!r}", stream, member.file_size)
            specs[name] = Spec(header.shape, _type_name(path, name, header.dtype))
            members[name] = member.filename
    if not specs:
        raise UserError(f"{path}: the file has no tensors.")

    def read(name: str) -> np.ndarray:
        with open_zip(path, limits.WEIGHTS) as archive, archive.open(members[name]) as stream:
            size = archive.getinfo(members[name]).file_size
            array = read_array(f"{path}: {name!r}", stream, size)
        return from_bfloat16(array.view(np.uint16)) if array.dtype.kind == "V" else array

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


def _type_name(path: Path, name: str, dtype: np.dtype) -> str:
    if dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None:
        return "bfloat16"
    if dtype.kind not in "fiub":
        raise UserError(f"{path}: {name!r}: expected numbers, received the type {dtype}.")
    return dtype.newbyteorder("=").name
