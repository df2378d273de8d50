# SPDX-License-Identifier: MIT
"""From what a caller wrote to the source that it means, or to what was probably meant."""

import contextlib
import difflib
import itertools
from pathlib import Path

from keras_vit.data.dataset import Split
from keras_vit.data.images import suffix_of
from keras_vit.data.sources.archive import ARCHIVES, is_archive, unpacked
from keras_vit.data.sources.arrays import digits_splits, npz_splits
from keras_vit.data.sources.folder import list_folder
from keras_vit.data.sources.huggingface import check_hf, hf_splits
from keras_vit.data.sources.listing import Listing
from keras_vit.data.sources.manifest import MANIFESTS, list_manifest
from keras_vit.data.sources.tfds import check_name, tfds_splits
from keras_vit.errors import UserError, unknown

_SOURCES = (
    "digits, a folder (class/*.jpg or train|val|test/class/*.jpg), such a folder in a "
    f"{' or '.join(ARCHIVES)} archive, a table of files ({', '.join(sorted(MANIFESTS))} with "
    "columns path and label), an .npz file, tfds:NAME or hf:NAME"
)

_NEARBY = 1000  # names of a folder among which a slip of the finger is looked for


def check_source(source: str, data_dir: str | None = None) -> None:
    """Raises the error of a source that is not there, without TensorFlow and without reading it."""
    check_data_dir(source, data_dir)
    if source.startswith("tfds:"):
        check_name(source.removeprefix("tfds:"), data_dir)
    elif source.startswith("hf:"):
        check_hf()
    elif source != "digits":
        _existing(source)


def root_of(source: str) -> Path | None:
    """The folder that records name the files of a source relative to; None without files."""
    if source == "digits" or source.startswith(("tfds:", "hf:")):
        return None
    path = _existing(source)
    if path.is_dir():
        return path
    if is_archive(path):
        return unpacked(path)
    return path.parent if suffix_of(path.name) in MANIFESTS else None


def list_files(source: str) -> Listing | None:
    """Lists the files of a folder, an archive or a table; None of a source without files."""
    root = root_of(source)
    if root is None:
        return None
    if suffix_of(source) in MANIFESTS and not Path(source).is_dir():
        return list_manifest(Path(source))
    return list_folder(root, source)


def read_examples(source: str, data_dir: str | None) -> tuple[list[str], dict[str, Split]]:
    """Class names and splits of a source without files, whose images are held in memory."""
    if source == "digits":
        return digits_splits()
    if source.startswith("tfds:"):
        return tfds_splits(source.removeprefix("tfds:"), data_dir)
    if source.startswith("hf:"):
        return hf_splits(source.removeprefix("hf:"))
    return npz_splits(Path(source))


def check_data_dir(source: str, data_dir: str | None) -> None:
    """Raises a `UserError` for a folder of TFDS with a source that is none of TFDS."""
    if data_dir is not None and not source.startswith("tfds:"):
        raise UserError(
            f"--data_dir {data_dir}: is where TFDS keeps its data sets, and {source!r} is none. "
            "Leave it out, or name the data as tfds:NAME."
        )


def _existing(source: str) -> Path:
    """What a source names, or the `UserError` of one that is not there."""
    path = Path(source)
    if _may_hold_images(path):
        return path
    if path.exists():
        raise UserError(
            f"data {source!r} is a file of no kind that can be read. Expected {_SOURCES}."
        )
    if difflib.get_close_matches(source, ["digits"]):
        raise unknown("data set", source, ["digits"])
    near = _neighbours_like(path)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Expected {_SOURCES}."
    raise UserError(f"no data at {source!r}. {hint}")


def _may_hold_images(path: Path) -> bool:
    readable = is_archive(path) or suffix_of(str(path)) in MANIFESTS | {".npz"}
    return path.is_dir() or (readable and path.is_file())


def _neighbours_like(path: Path) -> list[str]:
    """The data next to a path that is not there, with names like its own."""
    with contextlib.suppress(OSError):
        nearby = {other.name: other for other in itertools.islice(path.parent.iterdir(), _NEARBY)}
        names = difflib.get_close_matches(path.name, nearby, 3, 0.7)
        return [str(nearby[name]) for name in names if _may_hold_images(nearby[name])]
    return []
