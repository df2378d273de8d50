# SPDX-License-Identifier: MIT
"""Reading zip archives that may come from a stranger: `.npz`, `.keras`, images, and what stands at
the end of a `.tflite`."""

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import open_regular, opened, read_at_most, too_large

_ENCRYPTED = 1  # bit of a member's flags
_MEMBER = b"PK\1\2"  # starts each entry of the table of contents
# What a damaged archive makes the standard library raise.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error)


@contextlib.contextmanager
def open_zip(
    path: str | os.PathLike, bounds: limits.Zip, follow: bool = True
) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose every member may be read without harm.

    Before the archive is handed out, it is known that its members are few and small enough, stored
    or deflated, not encrypted, do not share bytes and have different names. What a member unpacks
    to is cut off at the size that it declares. Their *names* are not checked: do not write them.

    Args:
        path: a zip, or a file that ends in one.
        bounds: e.g. `limits.WEIGHTS`.
        follow: see `open_regular`.

    Raises:
        UserError: for anything else; also when a member turns out to be damaged within the block.
    """
    with _Table(opened(path, follow), "rb") as file:
        file.bounds = bounds
        try:
            archive = zipfile.ZipFile(file)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except (*_DAMAGED, OSError, ValueError, OverflowError) as error:
            raise _not_a_zip(path, error) from None
        file.bounds = None
        with archive:
            _check_members(path, archive.infolist(), bounds, os.fstat(file.fileno()).st_size)
            try:
                yield archive
            except (*_DAMAGED, UnicodeDecodeError) as error:
                raise _not_a_zip(path, error) from None


def ends_in_zip(path: str | os.PathLike) -> bool:
    """Whether a file is a zip or ends in one, sound or not."""
    with open_regular(path) as file:
        try:
            return zipfile.is_zipfile(file)
        except _DAMAGED:  # it has the marks of one
            return True


def check_zip(path: str | os.PathLike, bounds: limits.Zip, follow: bool = True) -> None:
    """Raises the error of `open_zip`, for archives that another library opens."""
    with open_zip(path, bounds, follow):
        pass


def read_member(
    archive: zipfile.ZipFile, name: str, limit: int, source: str | os.PathLike
) -> bytes | None:
    """Reads a member of at most `limit` bytes, inside of the block of `open_zip`; None if there is
    none of this name."""
    if name not in archive.NameToInfo:
        return None
    info = archive.getinfo(name)
    if info.file_size > limit:
        raise too_large(f"{source}: its member {name!r}", info.file_size, limit)
    with archive.open(info) as stream:
        contents = read_at_most(stream, info.file_size)
    if len(contents) != info.file_size:
        raise zipfile.BadZipFile(f"{name!r} is shorter than it says")
    return contents


class _Table(io.FileIO):
    """A zip file while its table of contents is read, of which all is held in memory at once.

    Attributes:
        bounds: what the table may hold; None when it was read.
    """

    bounds: limits.Zip | None = None
    _read = 0

    def read(self, size: int | None = -1) -> bytes:
        """Reads, and counts what is read and how many members that could be."""
        if self.bounds is None:
            return super().read(size)
        room = self.bounds.directory - self._read
        contents = super().read(room + 1 if size is None or size < 0 else min(size, room + 1))
        self._read += len(contents)
        if len(contents) > room or contents.count(_MEMBER) > self.bounds.members:
            raise UserError(
                f"its table of contents is too long; the limit is {self.bounds.members:,} members."
            )
        return contents


def _check_members(
    path: str | os.PathLike, members: list[zipfile.ZipInfo], bounds: limits.Zip, packed: int
) -> None:
    for member in members:
        if not member.filename:
            raise UserError(f"{path}: has a member without a name.")
        if member.flag_bits & _ENCRYPTED:
            raise UserError(f"{path}: its member {member.filename!r} is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(
                f"{path}: its member {member.filename!r} is packed by a method that is not read "
                f"(number {member.compress_type}; expected 0, stored, or 8, deflated)."
            )
        if member.file_size > bounds.member:
            raise too_large(
                f"{path}: its member {member.filename!r}", member.file_size, bounds.member
            )
    if len(members) > bounds.members:
        raise UserError(f"{path}: has {len(members):,} members; the limit is {bounds.members:,}.")
    if len({member.filename for member in members}) < len(members):
        raise UserError(f"{path}: has two members of one name.")
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise UserError(
                f"{path}: its members share bytes, as in a file that is made to do harm."
            )
        end = member.header_offset + member.compress_size
    total, limit = sum(member.file_size for member in members), bounds.total_of(packed)
    if total > limit:
        raise UserError(
            f"{path}: unpacks to {total:,} bytes from {packed:,}; the limit is {limit:,}."
        )


def _not_a_zip(path: str | os.PathLike, error: Exception) -> UserError:
    return UserError(f"{path}: is not a sound zip file ({error}).")
