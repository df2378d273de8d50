# SPDX-License-Identifier: MIT
"""Zip and tar archives of images: unpacked once into the cache folder, then a folder as any other.

An archive is a stranger's file. Nothing is written outside of its own folder, and no link, device,
sparse file, encrypted or repeated member is accepted. Sizes are limited before and while they are
unpacked (`keras_vit.untrusted.limits.IMAGES`).
"""

import gzip
import hashlib
import io
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from keras_vit.data.sources.folder import subfolders
from keras_vit.errors import UserError
from keras_vit.files import cache_folder, replacing
from keras_vit.progress import step
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import open_regular
from keras_vit.untrusted.text import visible
from keras_vit.untrusted.zips import open_zip

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_CHUNK = 1 << 20
_LONG_NAME = 65_536  # bytes of a tar member that only holds the name of the next, or its dates
_AUXILIARY = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
# RecursionError: one member that only holds a name after the other.
_BROKEN: tuple[type[Exception], ...] = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError),
    *(RecursionError, NotImplementedError),
)


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
        except _BROKEN as error:
            raise UserError(f"{path}: cannot be unpacked ({error}).") from error
    inside = subfolders(folder)
    while len(inside) == 1 and subfolders(inside[0]):
        folder, inside = inside[0], subfolders(inside[0])
    return folder


def _unpack(path: Path, folder: Path) -> None:
    members = _zip_members if path.suffix.lower() == ".zip" else _tar_members
    size = path.stat().st_size
    with step(f"unpacking {path.name}", size / 1e6, "MB") as shown:
        for name, content, place in members(path, folder):
            shown.done = min(place, size) / 1e6
            target = folder / _inside(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise _refused(path, name, "is there twice")
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, _CHUNK)


def _zip_members(path: Path, folder: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """The name of each file, its contents, and where in the archive it stands."""
    with open_zip(path, limits.IMAGES) as archive:
        _check_space(path, sum(info.file_size for info in archive.infolist()), folder)
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(path, info.filename, "is a link or a device")
            if not info.is_dir():
                with archive.open(info) as content:
                    yield info.filename, content, info.header_offset


def _tar_members(path: Path, folder: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """The same in one pass: a tar has no table of contents."""
    packed = open_regular(path)
    with packed, _plain(path, packed) as plain:
        stream = _Counted(path, plain, packed)
        # It reads and does no more, which is all that a stream of tarfile's ("r|") has to do.
        reader: Any = stream
        with tarfile.open(fileobj=reader, mode="r|", tarinfo=_Member) as archive:
            for count, info in enumerate(archive, 1):
                if count > limits.IMAGES.members:
                    raise _too_much(path, "members", limits.IMAGES.members)
                if info.size > limits.IMAGES.member:
                    raise _too_much(path, f"bytes in {info.name!r}", limits.IMAGES.member)
                if info.issparse():
                    raise _refused(path, info.name, "is sparse, of more bytes than it has")
                if not info.isdir() and not info.isreg():
                    raise _refused(path, info.name, "is a link or a device")
                if info.isreg():
                    yield info.name, archive.extractfile(info), packed.tell()


def _plain(path: Path, packed: io.FileIO) -> io.BufferedReader | gzip.GzipFile:
    if path.suffix.lower() == ".tar":
        return io.BufferedReader(packed)
    return gzip.GzipFile(fileobj=packed)


class _Member(tarfile.TarInfo):
    """A member whose header is checked before what it announces is read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """Reads a header; see `tarfile.TarInfo.frombuf`."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _AUXILIARY and info.size > _LONG_NAME):
            raise tarfile.ReadError(f"a member declares {info.size} bytes")
        return info


class _Counted:
    """A stream whose bytes count towards the limit, those of tar headers too, which can be long."""

    def __init__(self, path: Path, stream: io.BufferedIOBase, packed: io.FileIO):
        self.path = path
        self.stream = stream
        self.total = 0
        self.limit = limits.IMAGES.total_of(packed.seek(0, io.SEEK_END))
        packed.seek(0)

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.total += len(data)
        if self.total > self.limit:
            raise _too_much(self.path, "bytes", self.limit)
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


def _too_much(path: Path, what: str, limit: int) -> UserError:
    return UserError(
        f"{path}: unpacks to more {what} than the limit of {limit:,}. Unpack it yourself if you "
        "trust it, and name the folder."
    )
