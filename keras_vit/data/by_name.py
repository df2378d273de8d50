# SPDX-License-Identifier: MIT
"""From a name to an `ImageSet`, whatever it names."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_vit.data.checks.audit import Audit, review
from keras_vit.data.checks.cache import DECODED_SECONDS, examine_known
from keras_vit.data.checks.examine import broken_message, examine_all
from keras_vit.data.dataset import ImageSet, Split, divide
from keras_vit.data.sources.listing import Listing, check, few, to_measure, to_splits
from keras_vit.data.sources.resolve import check_data_dir, list_files, read_examples
from keras_vit.data.sources.unlabelled import has_classes, list_unlabelled
from keras_vit.errors import UserError, unknown
from keras_vit.recipes.schema import ON_BAD


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
    check_data_dir(source, data_dir)
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


def load_unlabelled(
    source: str,
    data_dir: str | None = None,
    test: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
    on_bad: str = "error",
    limit: int | None = None,
) -> ImageSet:
    """Finds images and forgets their classes.

    Where there are classes, the splits are those of `load`: what a classifier will be tested on is
    not seen by the pre-training either.

    Args:
        source: see `load`; or a folder of images at any depth, perhaps in `train`, `val` and
            `test`.
        data_dir, test, validation, seed, on_bad, limit: see `load`.
    """
    if has_classes(source):
        return load(source, data_dir, test, validation, seed, on_bad, limit=limit).without_labels()
    found = list_unlabelled(Path(source), limit)
    examined = examine_all([path for paths in found.values() for path in paths])
    problems = tuple(one.problem for one in examined if one.problem)
    if problems and on_bad == "error":
        raise UserError(broken_message(source, problems))
    usable = {one.path: one.orientation for one in examined if not one.problem}
    splits = {split: _unlabelled(paths, usable) for split, paths in found.items()}
    images = divide(source, (), splits, test, validation, seed)
    return dataclasses.replace(images, bad_files=problems)


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
    listing = list_files(source)
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
    listing = list_files(source)
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
    listing = list_files(source)
    if listing is not None:
        return _found_files(listing, on_bad, decode, limit)
    return Found(*read_examples(source, data_dir))


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


def _unlabelled(paths: list[str], usable: dict[str, int]) -> Split:
    paths = [path for path in paths if path in usable]
    orientation = np.array([usable[path] for path in paths], dtype="uint8")
    return Split(np.zeros(len(paths), "int64"), paths=paths, orientation=orientation)
