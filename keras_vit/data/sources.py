# SPDX-License-Identifier: MIT
"""From a name to an `ImageSet`, whatever it names."""

import contextlib
import dataclasses
import difflib
import itertools
from pathlib import Path

from keras_vit.data.archives import ARCHIVES, is_archive, unpacked
from keras_vit.data.arrays import digits_splits, npz_splits
from keras_vit.data.audit import Audit, review
from keras_vit.data.cache import DECODED_SECONDS, examine_known
from keras_vit.data.folders import list_folder
from keras_vit.data.image_set import ImageSet, Split, divide
from keras_vit.data.images import suffix_of
from keras_vit.data.listing import Listing, check, few, to_measure, to_splits
from keras_vit.data.manifest import MANIFESTS, list_manifest
from keras_vit.data.named_sets import check_hf, hf_splits, tfds_splits
from keras_vit.data.tfds_names import check_name
from keras_vit.errors import UserError, unknown
from keras_vit.recipes.schema import ON_BAD

_SOURCES = (
    "digits, a folder (class/*.jpg or train|val|test/class/*.jpg), such a folder in a "
    f"{' or '.join(ARCHIVES)} archive, a table of files ({', '.join(sorted(MANIFESTS))} with "
    "columns path and label), an .npz file, tfds:NAME or hf:NAME"
)

_NEARBY = 1000  # names of a folder among which a slip of the finger is looked for


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes:
        classes: class names.
        splits: "train", and where the source has them "validation" and "test".
        audit: what was found in its files; None of a source without files.
        root: see `ImageSet`.
    """

    classes: list[str]
    splits: dict[str, Split]
    audit: Audit | None = None
    root: Path | None = None


def load(
    source: str,
    data_dir: str | None = None,
    test: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
    on_bad: str = "error",
    decode: bool = True,
    limit: int | None = None,
) -> ImageSet:
    """Finds a set of images.

    Args:
        source: "digits"; a folder with a folder of images for each class, or with `train` and
            perhaps `val` and `test` above those; a .zip, .tar or .tar.gz of such a folder, which is
            unpacked into the cache folder; a .csv, .tsv or .jsonl file with columns path, label and
            perhaps split; an .npz file with x_train and y_train or images and labels; "tfds:NAME",
            with "/CONFIG" where it has several; or "hf:NAME", with ":CONFIG".
        data_dir: where TFDS keeps its data sets; None for its default.
        test: share held out for the test when the source has no such split.
        validation: share of the rest held out for validation when the source has no such split.
        seed: seed of both.
        on_bad: what to do about files that cannot be decoded: "error", or "skip", which leaves them
            out before anything is held out and lists them in `bad_files`.
        decode: whether "error" looks for files that break in the middle too, where that is
            estimated to take at most two minutes of one core; else their headers alone are read.
            "skip" always decodes. What was found is remembered in the cache folder.
        limit: image files of each split to use, at most; None for all. No other is opened.

    Raises:
        UserError: for a source that is not there, is empty or has files that are no images.
    """
    if on_bad not in ON_BAD:
        raise unknown("on_bad", on_bad, ON_BAD)
    _check_data_dir(source, data_dir)
    found = find(source, data_dir, on_bad, decode, limit)
    images = divide(source, found.classes, found.splits, test, validation, seed)
    if found.audit is None:
        return images
    problems = found.audit.unreadable
    notes = [
        *images.notes,
        *(
            f"{finding.text}; see audit.json"
            for finding in found.audit.findings
            if finding.misleads
        ),
    ]
    if not found.audit.decoded and decode:
        notes.append(
            "headers alone were checked, as to decode every file would take minutes; `keras-vit "
            f"audit {source}` does, and what it finds is remembered"
        )
    if limit is not None:
        notes.append(f"of each split at most {limit:,} files are used (data.limit)")
    if problems:
        count = len(problems)
        notes.append(f"{count:,} file{'s' * (count > 1)} left out, which cannot be read or decoded")
    return dataclasses.replace(
        images, notes=tuple(notes), bad_files=problems, root=found.root, audit=found.audit
    )


def check_source(source: str, data_dir: str | None = None) -> None:
    """Raises the error of a source that is not there, without TensorFlow and without reading it."""
    _check_data_dir(source, data_dir)
    if source.startswith("tfds:"):
        check_name(source.removeprefix("tfds:"), data_dir)
    elif source.startswith("hf:"):
        check_hf()
    elif source != "digits":
        _existing(source)


def load_for_test(source: str, data_dir: str | None = None) -> tuple[tuple[str, ...], Split]:
    """Finds images to measure a model on, and holds nothing out.

    Args:
        source, data_dir: see `load`.

    Returns:
        Class names, and the split "test" where there is one, "validation" else, else everything; of
        the bundled digits, those that every run holds out by default. Classes of files are those
        that have one in this split.
    """
    if source == "digits":
        images = load(source)
        return images.classes, images.test
    listing = _listing(source)
    if listing is not None:
        found = _found_files(to_measure(listing), on_bad="error", decode=False)
    else:
        found = find(source, data_dir, on_bad="error", decode=False)
    splits = found.splits
    split = next(splits[name] for name in ("test", "validation", "train") if name in splits)
    return tuple(found.classes), split


def audit_files(source: str, cache: bool = True) -> Audit:
    """Reads every file of a source to its end, and says what is wrong. Nothing is changed.

    Args:
        source: a folder, an archive or a table of files; see `load`.
        cache: whether to believe what was found before in files that have not changed since.

    Raises:
        UserError: when there is no such source or nothing in it that could be a class.
    """
    listing = _listing(source)
    if listing is None:
        raise UserError(
            f"data {source!r} has no image files, which is what an audit reads. Expected a folder, "
            "an archive or a table of files."
        )
    return review(listing, examine_known(listing.paths, listing.root, fresh=not cache))


def find(
    source: str,
    data_dir: str | None,
    on_bad: str = "error",
    decode: bool = True,
    limit: int | None = None,
) -> Found:
    """What a source holds, before anything is held out; see `load`."""
    listing = _listing(source)
    if listing is not None:
        return _found_files(listing, on_bad, decode, limit)
    if source == "digits":
        return Found(*digits_splits())
    if source.startswith("tfds:"):
        return Found(*tfds_splits(source.removeprefix("tfds:"), data_dir))
    if source.startswith("hf:"):
        return Found(*hf_splits(source.removeprefix("hf:")))
    return Found(*npz_splits(Path(source)))


def root_of(source: str) -> Path | None:
    """The folder that records of a run name the files of a source relative to; None without
    files."""
    if source == "digits" or source.startswith(("tfds:", "hf:")):
        return None
    path = _existing(source)
    if path.is_dir():
        return path
    if is_archive(path):
        return unpacked(path)
    return path.parent if suffix_of(path.name) in MANIFESTS else None


def _listing(source: str) -> Listing | None:
    root = root_of(source)
    if root is None:
        return None
    if suffix_of(source) in MANIFESTS and not Path(source).is_dir():
        return list_manifest(Path(source))
    return list_folder(root, source)


def _found_files(listing: Listing, on_bad: str, decode: bool, limit: int | None = None) -> Found:
    check(listing)
    if limit is not None:
        listing = few(listing, limit)
    examined = examine_known(
        listing.paths,
        listing.root,
        decode=on_bad == "skip" or decode,
        limit=None if on_bad == "skip" else DECODED_SECONDS,
    )
    splits = to_splits(listing, examined, on_bad)
    return Found(listing.classes["train"], splits, review(listing, examined), listing.root)


def _check_data_dir(source: str, data_dir: str | None) -> None:
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
    """The data beside a path that is not there, with names like its own."""
    with contextlib.suppress(OSError):
        beside = {other.name: other for other in itertools.islice(path.parent.iterdir(), _NEARBY)}
        names = difflib.get_close_matches(path.name, beside, 3, 0.7)
        return [str(beside[name]) for name in names if _may_hold_images(beside[name])]
    return []
