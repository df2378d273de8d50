# SPDX-License-Identifier: MIT
"""The `.safetensors` format: 8 bytes of header length, a JSON header, then the numbers.

Read here and not with the `safetensors` package: the format is small, and everything below must
hold for a file from a stranger. CONTRIBUTING.md, "Dependencies", has what the package lets through.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import open_regular, parse_json, read_at_most
from keras_vit.weights.formats.checkpoint import (
    Checkpoint,
    Spec,
    check_name,
    check_shape,
    from_bfloat16,
)

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def open_safetensors(path: str | os.PathLike) -> Checkpoint:
    """Opens a file; reads its header only.

    Raises:
        UserError: for anything but a sound file: truncated, overlapping or missing ranges, a
            shape that does not fill its range, an unknown type, a name twice.
    """
    path = Path(path)
    start, header = _header(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise UserError(f"{path}: expected __metadata__ to map names to text.")
    specs: dict[str, Spec] = {}
    ranges: dict[str, tuple[int, int]] = {}
    for name, entry in header.items():
        check_name(str(path), name)
        specs[name], ranges[name] = _entry(path, name, entry)
    _check_ranges(path, ranges, path.stat().st_size - start)

    def read(name: str) -> np.ndarray:
        spec, (begin, end) = specs[name], ranges[name]
        stored = "uint16" if spec.dtype == "bfloat16" else spec.dtype
        # Read and not mapped: mapped pages would count as memory of this process.
        array = np.fromfile(
            path, np.dtype(stored).newbyteorder("<"), count=spec.size, offset=start + begin
        )
        if array.nbytes != end - begin:
            raise UserError(f"{path}: ends within the tensor {name!r}. Download it again.")
        array = from_bfloat16(array) if spec.dtype == "bfloat16" else array
        return array.reshape(spec.shape)

    return Checkpoint(str(path), specs, read, metadata)


def write_safetensors(
    path: str | os.PathLike,
    tensors: Iterable[tuple[str, tuple[int, ...], Callable[[], np.ndarray]]],
    metadata: dict[str, str],
    dtype: str = "float32",
) -> None:
    """Writes tensors of one type, one after the other, so that one is in memory at a time.

    Args:
        path: the file, replaced at once when all is written.
        tensors: name, shape and maker of each.
        metadata: text to keep with them.
        dtype: "float32", or "float16" for half the bytes and 11 bits of each number.
    """
    tensors = sorted(tensors, key=lambda tensor: tensor[0])
    stored = np.dtype(dtype).newbyteorder("<")
    code = next(code for code, name in _DTYPES.items() if name == dtype)
    header: dict[str, dict] = {"__metadata__": metadata}
    offset = 0
    for name, shape, _ in tensors:
        size = stored.itemsize * Spec(shape, dtype).size
        header[name] = {"dtype": code, "shape": shape, "data_offsets": (offset, offset + size)}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers start at a multiple of 8 bytes
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, _, make in tensors:
            np.asarray(make(), stored, order="C").tofile(file)


def _header(path: Path) -> tuple[int, dict]:
    """The byte at which the numbers start, and the header."""
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        available = os.fstat(file.fileno()).st_size - 8
        if not 2 <= length <= min(limits.JSON, available):
            raise UserError(
                f"{path}: expected a header of 2 to {min(limits.JSON, max(available, 2))} bytes, "
                f"received a length of {length}. The file is truncated or not safetensors."
            )
        text = read_at_most(file, length)
    return 8 + length, parse_json(text, f"{path}: the header", dict[str, Any])


def _entry(path: Path, name: str, entry) -> tuple[Spec, tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise UserError(
            f"{path}: tensor {name!r}: expected dtype, shape and data_offsets, received "
            f"{str(entry)[:80]}."
        )
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
        raise UserError(
            f"{path}: tensor {name!r}: expected one of the types {', '.join(_DTYPES)}, received "
            f"{str(entry['dtype'])[:80]}."
        )
    spec = Spec(check_shape(str(path), name, entry["shape"]), _DTYPES[entry["dtype"]])
    offsets = check_shape(str(path), name, entry["data_offsets"])
    itemsize = 2 if spec.dtype == "bfloat16" else np.dtype(spec.dtype).itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != spec.size * itemsize:
        raise UserError(
            f"{path}: tensor {name!r}: a {spec.dtype} tensor of shape {spec.shape} has "
            f"{spec.size * itemsize} bytes, but its range is {list(offsets)[:4]}."
        )
    return spec, (offsets[0], offsets[1])


def _check_ranges(path: Path, ranges: dict[str, tuple[int, int]], available: int) -> None:
    """The ranges must tile the file: anything else is damaged or hides something."""
    position = 0
    for name, (begin, end) in sorted(ranges.items(), key=lambda item: item[1]):
        if begin != position:
            what = "overlaps the one before it" if begin < position else "leaves a gap before it"
            raise UserError(f"{path}: the range of tensor {name!r} {what} ({begin}, {end}).")
        position = end
    if position != available:
        what = "truncated; download it again" if position > available else "longer than it says"
        raise UserError(
            f"{path}: expected {position} bytes of numbers, received {available}: "
            f"the file is {what}."
        )
