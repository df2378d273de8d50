# SPDX-License-Identifier: MIT
"""Files that are either the old ones or the new ones, never something in between."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_vit.errors import UserError

_MANY = 1000  # files, flushed together


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path next to `path`; on success it replaces `path`.

    The temporary file (or folder) is flushed to the disk and then renamed, so that a crash, a full
    disk or `kill -9` at any moment leaves either the old file or the new one. On an exception the
    temporary is removed and `path` is as it was.

    Args:
        path: the file or folder to write. A folder may replace a missing or empty folder only.

    Yields:
        A path in the same folder with the same suffix (savers choose their format by it).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary = scratch / path.name
    try:
        yield temporary
        files = [temporary] if temporary.is_file() else sorted(temporary.rglob("*"))
        if len(files) > _MANY and hasattr(os, "sync"):
            os.sync()  # of everything there is: cheaper than one by one
        else:
            for written in [*files, temporary, temporary.parent]:
                _flush(written)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.filename is not None or error.strerror is None:
            raise
        # The system names no file when a write fails.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 text file through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """`$KERAS_VIT_CACHE`, or `keras_vit` in the user's cache folder: what can be made again."""
    if told := os.environ.get("KERAS_VIT_CACHE"):
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "keras_vit"


def size_in_bytes(path: str | os.PathLike) -> int:
    """The size of a file, or of everything below a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def check_free(folder: str | os.PathLike, flag: str) -> None:
    """Raises a `UserError` unless `folder` is missing or empty; `flag` is what named it."""
    folder = Path(folder)
    try:
        there = next((path for path in (folder, *folder.parents) if path.exists()), None)
        taken = there == folder and folder.is_dir() and any(folder.iterdir())
        writable = there is None or not there.is_dir() or os.access(there, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:  # a name that is too long or has a NUL
        raise UserError(f"{flag}: {str(folder)[:200]!r} cannot be used ({error}).") from None
    if there is not None and not there.is_dir():
        raise UserError(f"{flag}: {there} is a file; expected a folder that is new or empty.")
    if not writable:
        raise UserError(f"{flag}: nothing may be written in {there}. Name another folder.")
    if taken:
        raise UserError(
            f"{flag}: {folder} already holds files, which are never overwritten. "
            "Name another folder."
        )


def check_own(folder: str | os.PathLike) -> None:
    """Raises a `UserError` for a symbolic link where a run has a folder of its own: what is written
    and removed in it would be somebody else's."""
    if Path(folder).is_symlink():
        raise UserError(f"{folder}: expected a folder of the run itself, received a symbolic link.")


def remove(path: str | os.PathLike) -> None:
    """Removes a file, a link or a folder with what is in it; nothing that a link leads to."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def next_run_folder(parent: str | os.PathLike, name: str) -> Path:
    """Makes `parent/name-N` with the lowest free N above those in use, and returns it."""
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    taken = [
        int(entry.name.rpartition("-")[2])
        for entry in parent.glob(f"{name}-*")
        if entry.name.rpartition("-")[2].isdigit() and entry.name.rpartition("-")[0] == name
    ]
    number = max(taken, default=0) + 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:  # another run took the number since we looked
            number += 1
        else:
            return folder


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
