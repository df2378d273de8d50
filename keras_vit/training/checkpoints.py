# SPDX-License-Identifier: MIT
"""Checkpoints on disk: each is written whole or not at all, and is checked when it is read.

    checkpoints/
    |-- step_00000120/
    |   |-- state.npz       arrays; no pickle
    |   |-- progress.json   everything else: best score, history, seconds
    |   `-- meta.json       SHA-256 of both
    |-- step_00000150/
    `-- step_00000160_end/  after the last epoch

Nothing here knows Keras.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal, TypedDict

import numpy as np

from keras_vit.errors import UserError
from keras_vit.files import check_own, remove, replacing
from keras_vit.training.exceptions import WriteFailed
from keras_vit.untrusted import limits
from keras_vit.untrusted.npy import read_npz
from keras_vit.untrusted.reading import check_regular, open_regular, read_json
from keras_vit.untrusted.schema import Between, check
from keras_vit.untrusted.text import visible

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing keeps two processes apart
    fcntl = None

FORMAT = 1
_NAME = re.compile(r"step_\d{8,}(_end)?")
_OVERHEAD = 4096  # bytes of an array's name and headers
_CONTENTS = ("state.npz", "progress.json")


class _Best(TypedDict):
    best: list[float] | None
    epoch: Annotated[int, Between(0, 2**63)] | None


class _Row(TypedDict):
    epoch: float
    loss: float
    val_loss: float


class _Log(TypedDict):
    rows: list[_Row]
    seconds: float


class _Callbacks(TypedDict):
    SaveBest: _Best
    History: _Log


class _Progress(TypedDict):
    """What `progress.json` of a checkpoint has to hold."""

    precision: Literal["float32", "mixed_bfloat16"]
    callbacks: _Callbacks


class _Meta(TypedDict):
    format: int
    step: int
    sha256: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where a run is.

    Attributes:
        step: train steps that were made, from 0.
        arrays: every variable by name, as it was after that step.
        progress: plain data (JSON): what the callbacks remember, and what else is not a variable.
        trained: whether the last epoch is over.
    """

    step: int
    arrays: dict[str, np.ndarray]
    progress: dict
    trained: bool = False

    @property
    def finite(self) -> bool:
        """Whether no array holds NaN or infinity."""
        return all(np.isfinite(array).all() for array in self.arrays.values())

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"step_{self.step:08d}" + "_end" * self.trained


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are; made by the first `save`.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int = 2):
        if keep < 1:
            raise UserError(f"keep_checkpoints: expected at least 1, received {keep}.")
        self.folder = Path(folder)
        self.keep = keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint next to the others, then removes those that are too many.

        Raises:
            WriteFailed: when the disk is full or broken; the others are as they were.
        """
        path = self.folder / checkpoint.name
        try:
            if os.path.lexists(path):  # `load_newest` did not take it: it is damaged
                self._set_aside(path)
            with replacing(path) as temporary:
                temporary.mkdir()
                _write(temporary, checkpoint)
        except OSError as error:
            newest = self.newest()
            kept = f"{newest} is intact." if newest else "There is none from before."
            raise WriteFailed(
                f"checkpoint {path} cannot be written: {error.strerror or error}. {kept}"
            ) from error
        self.prune(self.keep)
        return path

    def prune(self, keep: int) -> None:
        """Removes all but the newest."""
        for old in self._paths()[:-keep]:
            # Renamed first: a process killed half-way leaves no checkpoint with files missing.
            shutil.rmtree(old.rename(old.with_name(f".{old.name}.old.tmp")))

    def newest(self) -> Path | None:
        """The folder of the newest checkpoint, unchecked; None when there is none."""
        return next(reversed(self._paths()), None)

    def load_newest(self) -> Checkpoint | None:
        """Reads the newest checkpoint that is whole; None when there is none.

        Damaged ones are named on standard error and set aside as `*.damaged`.
        """
        for path in reversed(self._paths()):
            try:
                return read(path)
            except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
                text = visible(f"warning: {path} is damaged and not used: {error}")
                print(text, file=sys.stderr)
                self._set_aside(path)
        return None

    def remove_leftovers(self) -> None:
        """Removes what a killed process left half-written here."""
        for path in self.folder.glob(".step_*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the system lets go of it however the process ends.

        Raises:
            UserError: when another process is training this run.
        """
        if fcntl is None:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        check_own(self.folder)
        with _open_lock(self.folder / ".lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"{self.folder.parent}: another process is training this run. Stop it first."
                ) from error
            yield

    def _paths(self) -> list[Path]:
        """Oldest first; no links, which are not ours to read and remove."""
        found = [
            path
            for path in self.folder.glob("step_*")
            if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]
        return sorted(found, key=lambda path: (len(path.name.removesuffix("_end")), path.name))

    def _set_aside(self, path: Path) -> None:
        damaged = path.with_name(f"{path.name}.damaged")
        remove(damaged)
        path.rename(damaged)


class Unwritten(Checkpoints):
    """Those of a process that does not write them, as another one of its run does."""

    def save(self, checkpoint: Checkpoint) -> Path:
        return self.folder / checkpoint.name


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint and compares it with its SHA-256.

    Raises:
        ValueError, OSError: when something is missing or is not what was written.
    """
    meta = read_json(path / "meta.json", _Meta, follow=False)
    if meta["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, received {meta['format']}")
    arrays = read_npz(path / "state.npz", limits.WEIGHTS)
    progress = read_json(path / "progress.json", dict[str, Any], follow=False)
    # Not compressed: a file that is much longer than its arrays is not to be read to its end.
    longest = sum(array.nbytes + _OVERHEAD for array in arrays.values()) + _OVERHEAD
    check_regular(path / "state.npz", longest, follow=False)
    for name in _CONTENTS:
        if _sha256(path / name) != meta["sha256"][name]:
            raise ValueError(f"{name} is not what was written (SHA-256 differs)")
    checkpoint = Checkpoint(meta["step"], arrays, progress, path.name.endswith("_end"))
    if checkpoint.name != path.name:
        raise ValueError(f"meta.json is that of {checkpoint.name}")
    return checkpoint


def check_progress(checkpoint: Checkpoint, folder: Path) -> None:
    """Raises a `UserError` unless a checkpoint says all that a run goes on from."""
    check(checkpoint.progress, _Progress, f"{folder}: progress.json of {checkpoint.name}")


def _open_lock(path: Path) -> IO[bytes]:
    """Opens the file that is locked, or makes it; nothing that it might lead to is touched."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags, 0o666), "rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be opened to lock the run ({error.strerror}).") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{path}: expected an empty file, which locks the run. Remove it.")
    return file


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    with (folder / "state.npz").open("wb") as file:
        np.savez(file, **checkpoint.arrays)  # type: ignore[arg-type]
    (folder / "progress.json").write_text(json.dumps(checkpoint.progress), encoding="utf-8")
    meta = {
        "format": FORMAT,
        "step": checkpoint.step,
        "sha256": {name: _sha256(folder / name) for name in _CONTENTS},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with open_regular(path, follow=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
