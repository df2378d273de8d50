# SPDX-License-Identifier: MIT
"""Zip and tar archives of images: unpacked once into the cache folder, then a folder as any other.

An archive is a stranger's file. Nothing is written outside of its own folder, and no link, device,
encrypted or repeated member is accepted. Sizes are limited before and while they are unpacked.
"""

import gzip
import hashlib
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from keras_vit.data.folders import subfolders
from keras_vit.errors import UserError
from keras_vit.files import cache_folder, replacing
from keras_vit.progress import track
from keras_vit.text import visible

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_MEMBERS = 10_000_000
MAX_MEMBER = 1_000_000_000  # bytes
MAX_TOTAL = 1_000_000_000_000  # bytes
MAX_RATIO = 100  # unpacked over packed; images are compressed already
_HARMLESS = 100_000_000  # bytes: an archive that unfolds to less may do so by any ratio
_CHUNK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def unpacked(path: Path) -> Path:
    """The folder with the images of an archive, unpacked there if it is not yet.

    It lies in the cache folder and is named by the path, size and time of the archive, so that a
    changed archive is unpacked anew. A single folder at the top of the archive is stepped into.

    Raises:
        UserError: for an archive that is broken, too large or could do harm.
    """
    status = path.stat()
    identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    name = f"{path.name.partition('.')[0]}-{hashlib.blake2b(identity.encode()).hexdigest()[:16]}"
    folder = cache_folder() / "archives" / name
    if not folder.exists():
        print(visible(f"unpacking {path} into {folder}"), file=sys.stderr)
        try:
            with replacing(folder) as temporary:
                temporary.mkdir()
                _unpack(path, temporary)
        except UserError:
            raise
        # The last two come from zipfile, for passwords and unknown compressions.
        except (*_BROKEN, RuntimeError, NotImplementedError) as error:
            raise UserError(f"{path}: cannot be unpacked ({error}).") from error
    inside = subfolders(folder)
    while len(inside) == 1 and subfolders(inside[0]):
        folder, inside = inside[0], subfolders(inside[0])
    return folder


class Limits:
    """Counts what an archive holds, and raises a `UserError` when that is too much.

    Args:
        path: the archive.
        member_limit: bytes that a member may unpack to.
    """

    def __init__(self, path: Path, member_limit: int = MAX_MEMBER):
        self.path = path
        self.member_limit = member_limit
        self.packed = path.stat().st_size
        self.members = self.total = 0

    def member(self, size: int) -> None:
        """Counts a member of `size` bytes."""
        self.members += 1
        self._check(self.members, MAX_MEMBERS, "members")
        self._check(size, self.member_limit, "bytes in a member")

    def grow(self, size: int) -> None:
        """Counts unpacked bytes."""
        self.total += size
        self._check(self.total, MAX_TOTAL, "bytes")
        self._check(
            self.total, max(MAX_RATIO * self.packed, _HARMLESS), f"bytes from {self.packed:,}"
        )

    def _check(self, value: int, limit: int, what: str) -> None:
        if value > limit:
            raise UserError(
                f"{self.path}: unpacks to {value:,} {what}; the limit is {limit:,}. Unpack it "
                "yourself if you trust it, and name the folder."
            )


def _unpack(path: Path, folder: Path) -> None:
    members = _zip_members if path.suffix.lower() == ".zip" else _tar_members
    for name, content in track(members(path, folder), f"unpacking {path.name}", unit="files"):
        target = folder / _inside(path, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise _refused(path, name, "is there twice")
        with target.open("xb") as file:
            shutil.copyfileobj(content, file, _CHUNK)


def _zip_members(path: Path, folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        limits = Limits(path)
        for info in archive.infolist():
            limits.member(info.file_size)
            limits.grow(info.file_size)
        _check_space(path, limits.total, folder)
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(path, info.filename, "is a link or a device")
            if not info.is_dir():
                with archive.open(info) as content:
                    yield info.filename, content


def _tar_members(path: Path, folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """In one pass: a tar has no table of contents."""
    limits = Limits(path)
    opener = open if path.suffix.lower() == ".tar" else gzip.open
    with (
        opener(path, "rb") as stream,
        tarfile.open(fileobj=_Counted(stream, limits), mode="r|") as archive,
    ):
        for info in archive:
            limits.member(info.size)
            if not info.isdir() and not info.isreg():
                raise _refused(path, info.name, "is a link or a device")
            if info.isreg():
                yield info.name, archive.extractfile(info)


class _Counted:
    """A stream whose bytes count towards limits, those of tar headers too, which can be long."""

    def __init__(self, stream: IO[bytes], limits: Limits):
        self.stream = stream
        self.limits = limits

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.limits.grow(len(data))
        return data


def _inside(path: Path, name: str) -> PurePosixPath:
    """The name of a member, if it stays below the folder that it is unpacked into."""
    member = PurePosixPath(name)
    windows = "\\" in name or ":" in name.partition("/")[0]
    if not member.parts or member.is_absolute() or ".." in member.parts or windows or "\0" in name:
        raise _refused(path, name, "is not a name below the archive's own folder")
    return member


def _check_space(path: Path, needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{path}: unpacks to {needed:,} bytes, but {folder.parent} has {free:,} bytes free. "
            "Name another place with the environment variable KERAS_VIT_CACHE."
        )


def _refused(path: Path, name: str, reason: str) -> UserError:
    return UserError(f"{path}: its member {name!r} {reason}; the archive is not unpacked.")
