# SPDX-License-Identifier: MIT
"""Remembers what is known of image files, so that they are decoded once and not before each run.

One JSON file for each data set, below the cache folder. What it says of a file holds while the size
and the time of the file are the same. It can be deleted at any time.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

from keras_vit.data.checks.examine import Examined, examine_all
from keras_vit.data.images import suffix_of
from keras_vit.errors import UserError
from keras_vit.files import cache_folder, write_text
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_json

_VERSION = 2  # of the file's contents, and of what `examine` looks at
_SECONDS_PER_FILE = 3e-4  # measured on one core: small JPEG files, decoded
_SECONDS_PER_BYTE = {".webp": 1 / 6e6}  # 1.1 megapixels each of JPEG, PNG and WebP
_SECONDS_PER_OTHER_BYTE = 1 / 60e6
DECODED_SECONDS = 120  # of one core that the check before a run may take


class _Entry:
    """What a record holds of a file; a type of its own, as there are millions of them."""

    def __call__(self, entry: list) -> bool:
        if len(entry) != 7:
            return False
        stamp, problem, width, height, orientation, traits, digest = entry
        return (
            type(stamp) is list
            and type(width) is type(height) is type(orientation) is int
            and 1 <= orientation <= 8
            and type(traits) is list
            and type(problem) in (str, type(None))
            and type(digest) in (str, type(None))
        )


class _Record(TypedDict):
    version: int
    files: dict[str, Annotated[list[Any], _Entry()]]


def examine_known(
    paths: Sequence[str],
    root: Path,
    decode: bool = True,
    limit: float | None = None,
    fresh: bool = False,
) -> list[Examined]:
    """`examine_all`, but for what is known already.

    Args:
        paths: files.
        root: their data set; names its record.
        decode: whether to read the files to their end.
        limit: seconds of one core, estimated from the sizes of the files, beyond which headers
            alone are read; None for no limit.
        fresh: whether to look at every file again, whatever is known.
    """
    record, prefix = _record_of(root), os.path.join(root, "")  # noqa: PTH118 (wants the slash)
    known = {} if fresh else _read(record)
    stamps = [_stamp(path) for path in paths]
    found: list[Examined | None] = []
    for path, stamp in zip(paths, stamps, strict=True):
        was, *entry = known.get(path.removeprefix(prefix), [None])
        found.append(_examined(path, entry) if stamp and was == stamp else None)
    wanted = [i for i, one in enumerate(found) if one is None or (decode and not one.final)]
    if decode and limit is not None:
        decode = sum(_seconds(paths[i], stamps[i]) for i in wanted) <= limit
        if not decode:
            wanted = [i for i in wanted if found[i] is None]
    for i, one in zip(wanted, examine_all([paths[i] for i in wanted], decode), strict=True):
        found[i] = one
    if wanted:
        files = known | {
            one.path.removeprefix(prefix): [stamp, *_entry(one)]
            for one, stamp in zip(found, stamps, strict=True)
            if stamp
        }
        # A cache that cannot be written, or names that are no text, cost time and nothing else.
        with contextlib.suppress(OSError, UnicodeError):
            write_text(record, json.dumps({"version": _VERSION, "files": files}))
    return found


def _stamp(path: str) -> list[int] | None:
    """Size and times of a file; None of one that is not there, of which nothing is remembered.

    The second time is that of its permissions and name too, which no program can set back.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (Path takes twice as long)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _seconds(path: str, stamp: list[int] | None) -> float:
    per_byte = _SECONDS_PER_BYTE.get(suffix_of(path), _SECONDS_PER_OTHER_BYTE)
    return _SECONDS_PER_FILE + per_byte * stamp[0] if stamp else 0.0


def _record_of(root: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=16).hexdigest()
    return cache_folder() / "examined" / f"{name}.json"


def _read(record: Path) -> dict[str, list]:
    """name -> [stamp, what is known ...]; nothing when there is no record or it cannot be read."""
    try:
        contents = read_json(record, _Record, limits.MANIFEST)
    except UserError:
        return {}
    return contents["files"] if contents["version"] == _VERSION else {}


def _entry(one: Examined) -> list:
    path, problem, *rest = (getattr(one, field.name) for field in dataclasses.fields(one))
    return [problem and problem.removeprefix(path), *rest]


def _examined(path: str, entry: list) -> Examined:
    problem, width, height, orientation, traits, digest = entry
    problem = problem and path + problem
    return Examined(path, problem, width, height, orientation, tuple(traits), digest)
