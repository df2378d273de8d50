# SPDX-License-Identifier: MIT
"""Reading files that may come from a stranger: regular files only, and never more than a limit.

Opening a pipe waits for ever, reading a device never ends, a symbolic link leads elsewhere, a small
file unpacks to a large one and a nested list overflows the stack. Whoever opens a file that this
program has not just written does it here. The limits are those of `keras_vit.untrusted.limits`.
"""

import contextlib
import gzip
import io
import json
import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from keras_vit.errors import UserError
from keras_vit.untrusted import limits, schema

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}
_CHUNK = 1 << 20


def open_regular(path: str | os.PathLike, follow: bool = True) -> io.FileIO:
    """Opens a regular file to read bytes, without a buffer of Python's own.

    Args:
        path: the file.
        follow: whether it may be a symbolic link to one; False for a file that this program wrote
            itself and that somebody may have replaced since.

    Raises:
        UserError: for a file that is missing, may not be read, or is a pipe, a device, a folder or
            a socket. Nothing waits: a pipe without a writer is refused as well.
    """
    return io.FileIO(opened(path, follow), "rb")


def check_regular(path: str | os.PathLike, limit: int, follow: bool = True) -> int:
    """Returns the size of a regular file of at most `limit` bytes; raises as `read_bytes` does.

    For files that a library opens by their name: nothing holds them still until then.
    """
    with open_regular(path, follow) as file:
        return _size(path, file, limit)


def read_bytes(path: str | os.PathLike, limit: int, follow: bool = True) -> bytes:
    """Reads a regular file of at most `limit` bytes.

    Raises:
        UserError: for a larger file, also one that grows meanwhile; and see `open_regular`.
    """
    with open_regular(path, follow) as file:
        size = _size(path, file, limit)
        with _file_errors(path):
            contents = read_at_most(file, size + 1)
    if len(contents) > size:
        raise UserError(f"{path}: is being written to. Try again when it is complete.")
    return contents


def read_text(path: str | os.PathLike, limit: int = limits.TEXT, follow: bool = True) -> str:
    """Reads a text file in UTF-8; see `read_bytes`."""
    try:
        return read_bytes(path, limit, follow).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text ({error}).") from None


def read_json(
    path: str | os.PathLike, kind: Any = Any, limit: int = limits.JSON, follow: bool = True
) -> Any:
    """Reads a JSON file and checks what is in it.

    Args:
        path: the file.
        kind: the type that it must have, see `keras_vit.untrusted.schema.check`; anything if not
            given.
        limit: bytes.
        follow: see `open_regular`.

    Raises:
        UserError: names the file, the field, what was expected and what was received.
    """
    return parse_json(read_bytes(path, limit, follow), path, kind, limit)


def parse_json(
    text: str | bytes, source: str | os.PathLike, kind: Any = Any, limit: int = limits.JSON
) -> Any:
    """Reads JSON that is in memory; `source` is what errors call it. See `read_json`.

    NaN, infinity, a name that stands twice in an object, numbers of more than 40 digits and lists
    in lists without end are refused: no file that this program reads needs them.
    """
    if len(text) > limit:
        raise UserError(f"{source}: expected at most {limit:,} bytes of JSON.")
    try:
        value = json.loads(
            text.decode("utf-8-sig") if isinstance(text, bytes) else text,
            object_pairs_hook=_unique,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError:
        raise _too_deep(source) from None
    except ValueError as error:
        raise UserError(f"{source}: is not JSON that can be read ({error}).") from None
    level = [value]
    for _ in range(limits.JSON_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return schema.check(value, kind, str(source))
    raise _too_deep(source)


def read_gzip(path: str | os.PathLike, limit: int, follow: bool = True) -> bytes:
    """Reads a gzip file that unpacks to at most `limit` bytes; see `read_bytes`."""
    packed = io.BytesIO(read_bytes(path, limit, follow))
    try:
        with gzip.GzipFile(fileobj=packed) as stream:
            contents = read_at_most(stream, limit + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise UserError(f"{path}: is not a gzip file that can be read ({error}).") from None
    if len(contents) > limit:
        raise UserError(f"{path}: unpacks to more than the limit of {limit:,} bytes.")
    return contents


def opened(path: str | os.PathLike, follow: bool) -> int:
    """The descriptor of a file; see `open_regular`."""
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):  # not all on every system
        flags |= getattr(os, name, 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    with _file_errors(path):
        # Looked at before it is opened: to open a device can do something by itself.
        _check_kind(path, os.stat(path, follow_symlinks=follow))  # noqa: PTH116 (Path is slower)
        descriptor = os.open(path, flags)
    try:
        _check_kind(path, os.fstat(descriptor))  # another file may have taken its place
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _file_errors(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:  # a name with a NUL
        raise UserError(f"{str(path)!r}: is not the name of a file ({error}).") from None


def _size(path: str | os.PathLike, file: BinaryIO, limit: int) -> int:
    size = os.fstat(file.fileno()).st_size
    if size > limit:
        raise too_large(path, size, limit)
    return size


def read_at_most(stream: IO[bytes] | gzip.GzipFile, count: int) -> bytes:
    """Reads `count` bytes, or to the end; what is not there is never allocated."""
    parts = []
    while count and (part := stream.read(min(count, _CHUNK))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _children(node: Any) -> list:
    inside = node.values() if type(node) is dict else node if type(node) is list else ()
    return [child for child in inside if type(child) in (dict, list)]


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:80]!r} stands twice in one object")
        found[name] = value
    return found


def _whole(text: str) -> int:
    if len(text) > limits.JSON_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _too_deep(source: str | os.PathLike) -> UserError:
    return UserError(
        f"{source}: is not JSON that can be read (nested more than {limits.JSON_DEPTH} deep)."
    )


def too_large(what: object, size: int, limit: int) -> UserError:
    """The error for what is larger than it may be, in bytes."""
    return UserError(f"{what}: has {size:,} bytes; the limit is {limit:,}.")


def _check_kind(path: str | os.PathLike, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise UserError(f"{path}: expected a file, received {_KINDS.get(kind, 'something else')}.")
