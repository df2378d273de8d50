# SPDX-License-Identifier: MIT
"""Whether a set of images is still the one that a run began with."""

import gzip
import json
from pathlib import Path
from typing import Annotated, Any, TypedDict

from keras_vit.data.dataset import ImageSet
from keras_vit.files import replacing
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json, read_gzip

_SHOWN = 10  # files that a message lists


class _Rows:
    """`[path, bytes, label]` in each place; a type of its own, as there are millions of them."""

    def __call__(self, rows: list) -> bool:
        return all(type(r) is list and len(r) == 3 and type(r[0]) is str for r in rows)

    def __str__(self) -> str:
        return "of [path, bytes, label]"


class _Files(TypedDict):
    files: Annotated[list[Any], _Rows()]


class _Examples(TypedDict):
    examples: int
    sha256: str


class _Fingerprint(TypedDict):
    classes: list[str]
    train: _Files | _Examples
    validation: _Files | _Examples
    test: _Files | _Examples


def fingerprint(images: ImageSet) -> dict:
    """What can change in a set, as plain data.

    Returns:
        `classes`, and for each split its files as `[path, bytes, label]`, in order, or for images
        in memory their number and the SHA-256 of pixels and labels; see `Split.fingerprint`.
    """
    splits = {name: split.fingerprint() for name, split in images.splits.items()}
    return {"classes": list(images.classes), **splits}


def write_fingerprint(path: Path, values: dict) -> None:
    """Writes it as gzipped JSON: a million paths are some megabytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(_text(values), mtime=0))


def changes_since(path: Path, now: dict) -> list[str]:
    """Says in words how a set differs from the one whose fingerprint was written; empty when they
    are equal.

    Raises:
        UserError: for a file that is no fingerprint.
    """
    text = _text(now)
    before = read_gzip(path, max(len(text), limits.INDEX))
    if before == text:
        return []
    if len(before) > limits.INDEX:
        return ["its files; there are too many to list what changed"]
    return differences(parse_json(before, path, _Fingerprint, limits.INDEX), now)


def differences(before: dict, now: dict) -> list[str]:
    """Says in words what differs between two fingerprints; empty when they are equal."""
    found = []
    if before["classes"] != now["classes"]:
        found.append(f"classes: {_names(before['classes'])} became {_names(now['classes'])}")
    for split in ("train", "validation", "test"):
        if before[split] != now[split]:
            found += _of_splits(split, before[split], now[split])
    return found


def _text(values: dict) -> bytes:
    return json.dumps(values).encode()


def _of_splits(name: str, before: dict, now: dict) -> list[str]:
    if "files" not in before or "files" not in now:
        return [f"{name}: {_count(before)} became {_count(now)}, with other pixels or labels"]
    old, new = ({path: rest for path, *rest in side["files"]} for side in (before, now))
    found = [f"gone from {name}: {path}" for path in old if path not in new or new[path][0] == -1]
    found += [f"new in {name}: {path}" for path in new if path not in old]
    for path in old.keys() & new.keys():
        if old[path][0] != new[path][0] != -1:
            found.append(f"{path}: {old[path][0]:,} bytes became {new[path][0]:,}")
        if old[path][1] != new[path][1]:
            found.append(f"{path}: has another label")
    if not found:
        return [f"{name}: its files come in another order"]
    more = len(found) - _SHOWN
    return sorted(found)[:_SHOWN] + ([f"and {more} more in {name}"] if more > 0 else [])


def _count(side: dict) -> str:
    return f"{side['examples'] if 'examples' in side else len(side['files']):,} examples"


def _names(classes: list[str]) -> str:
    return ", ".join(classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
