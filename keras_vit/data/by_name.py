# SPDX-License-Identifier: MIT
"""From a name to an `ImageSet`, whatever it names, with what was found wrong in its files."""

import dataclasses

import numpy as np

from keras_vit.data.checks.audit import Audit, review
from keras_vit.data.checks.cache import DECODED_SECONDS, examine_known
from keras_vit.data.checks.examine import Examined, broken_message
from keras_vit.data.dataset import Files, ImageSet, Split
from keras_vit.data.holding_out import divide
from keras_vit.data.sources.listing import Listing, check, encode, few, to_measure, used
from keras_vit.data.sources.resolve import check_data_dir, list_files, read_examples
from keras_vit.data.sources.unlabelled import has_classes, list_unlabelled
from keras_vit.errors import UserError, unknown
from keras_vit.recipes.schema import ON_BAD


def load(
    source: str,
    data_dir: str | None = None,
    test: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
    on_bad: str = "error",
    decode: bool = True,
    limit: int | None = None,
) -> tuple[ImageSet, Audit | None]:
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
            out before anything is held out and lists them in the audit.
        decode: whether "error" looks for files that break in the middle too, where that is
            estimated to take at most two minutes of one core; else their headers alone are read.
            "skip" always decodes. What was found is remembered in the cache folder.
        limit: image files of each split to use, at most; None for all. No other is opened.

    Returns:
        The images, and what was found in their files, of those that were left out too; None of a
        source without files.

    Raises:
        UserError: for a source that is not there, is empty or has files that are no images.
    """
    if on_bad not in ON_BAD:
        raise unknown("on_bad", on_bad, ON_BAD)
    check_data_dir(source, data_dir)
    listing = list_files(source)
    if listing is None:
        classes, splits = read_examples(source, data_dir)
        return divide(source, classes, splits, test, validation, seed), None
    check(listing)
    if limit is not None:
        listing = few(listing, limit)
    examined = examine_known(
        listing.paths,
        listing.root,
        decode=on_bad == "skip" or decode,
        limit=None if on_bad == "skip" else DECODED_SECONDS,
    )
    splits, audit = _to_splits(listing, examined, on_bad), review(listing, examined)
    images = divide(source, listing.classes["train"], splits, test, validation, seed)
    notes = (*images.notes, *_notes(source, audit, decode, limit))
    return dataclasses.replace(images, notes=notes, root=listing.root), audit


def load_unlabelled(
    source: str,
    data_dir: str | None = None,
    test: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
    on_bad: str = "error",
    limit: int | None = None,
) -> tuple[ImageSet, Audit | None]:
    """Finds images and forgets their classes.

    Where there are classes, the splits are those of `load`: what a classifier will be tested on is
    not seen by the pre-training either.

    Args:
        source: see `load`; or a folder of images at any depth, perhaps in `train`, `val` and
            `test`.
        data_dir, test, validation, seed, on_bad, limit: see `load`.

    Returns:
        See `load`.
    """
    if has_classes(source):
        images, audit = load(source, data_dir, test, validation, seed, on_bad, limit=limit)
        return images.without_labels(), audit
    listing = list_unlabelled(source, limit)
    examined = examine_known(listing.paths, listing.root)
    splits, audit = _to_splits(listing, examined, on_bad), review(listing, examined)
    images = divide(source, (), splits, test, validation, seed)
    return dataclasses.replace(images, notes=(*images.notes, *_notes(source, audit))), audit


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
        images, _ = load(source)
        return images.classes, images.test
    listing = list_files(source)
    if listing is None:
        classes, splits = read_examples(source, data_dir)
    else:
        listing = to_measure(listing)
        check(listing)
        classes = listing.classes["train"]
        examined = examine_known(listing.paths, listing.root, decode=False)
        splits = _to_splits(listing, examined, on_bad="error")
    split = next(splits[name] for name in ("test", "validation", "train") if name in splits)
    return tuple(classes), split


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


def _to_splits(listing: Listing, examined: list[Examined], on_bad: str) -> dict[str, Split]:
    """The splits of the files that can be used.

    Args:
        listing: files.
        examined: what is known of `listing.paths`, in their order.
        on_bad: "error" raises for a file that cannot be used, "skip" leaves it out.
    """
    problems = [found.problem for found in examined if found.problem]
    if problems and on_bad == "error":
        raise UserError(broken_message(listing.source, problems))
    orientation = {found.path: found.orientation for found in examined if not found.problem}
    splits: dict[str, Split] = {}
    for split, files in listing.files.items():
        usable = [file for file in files if file.path in orientation]
        gone = sorted(used(files) - used(usable))
        if gone and (listing.complete or split == "train"):
            raise UserError(
                f"{listing.source}: no file of {', '.join(gone)} in {split} can be used. Expected "
                "at least one image of each class that can be decoded; see "
                f"`keras-vit audit {listing.source}`."
            )
        splits[split] = Files(
            encode([file.labels for file in usable], listing.classes["train"], listing.task),
            [file.path for file in usable],
            np.array([orientation[file.path] for file in usable], dtype="uint8"),
        )
    return splits


def _notes(
    source: str, audit: Audit, decode: bool = True, limit: int | None = None
) -> tuple[str, ...]:
    """What a reader of the results must know about the files."""
    notes = [f"{found.text}; see audit.json" for found in audit.findings if found.misleads]
    if not audit.decoded and decode:
        notes.append(
            "headers alone were checked, as to decode every file would take minutes; `keras-vit "
            f"audit {source}` does, and what it finds is remembered"
        )
    if limit is not None:
        notes.append(f"of each split at most {limit:,} files are used (data.limit)")
    if audit.unreadable:
        count = len(audit.unreadable)
        notes.append(f"{count:,} file{'s' * (count > 1)} left out, which cannot be read or decoded")
    return tuple(notes)
