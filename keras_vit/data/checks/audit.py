# SPDX-License-Identifier: MIT
"""What is wrong with a set of image files, by name. Nothing is changed, moved or deleted."""

import collections
import dataclasses
from collections.abc import Iterator

from keras_vit.data.checks.examine import Examined
from keras_vit.data.images import suffix_of
from keras_vit.data.sources.listing import Listing

_TINY = 8  # pixels; less than one patch of the smallest models
_ELONGATED = 10  # long side over short side
_IMBALANCED = 10  # images of the largest class over those of the smallest

_TRAITS = {
    "animated": "of several frames, of which the first is used",
    "16-bit": "of 16 bits to a channel, of which the upper 8 are used",
    "CMYK": "in CMYK, converted to RGB without a color profile",
    "alpha": "with transparency, which is ignored",
    "EXIF": "with EXIF data that cannot be read, taken as upright",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of thing that is wrong.

    Attributes:
        kind: "unreadable", "empty class", "one class", "class names", "leak", "two labels",
            "copies", "ignored", "imbalance", "tiny", "elongated", "rotated", "animated", "16-bit",
            "CMYK", "alpha" or "EXIF".
        problem: whether training stops or misleads because of it; else it is a warning.
        text: what was found, in one sentence.
        items: one line for each file, class or group of files.
    """

    kind: str
    problem: bool
    text: str
    items: tuple[str, ...] = ()

    @property
    def misleads(self) -> bool:
        """Whether training goes on in spite of it, with results that are not what they seem."""
        return self.kind in ("leak", "two labels")


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        source: the folder, archive or table of files.
        images: split -> class -> number of usable images.
        findings: problems first.
        decoded: whether every file was read to its end; else their headers alone.
    """

    source: str
    images: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]
    decoded: bool = True

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What is wrong with each file that cannot be used."""
        return next((f.items for f in self.findings if f.kind == "unreadable"), ())

    def to_dict(self) -> dict:
        """Plain data, for JSON."""
        return {**dataclasses.asdict(self), "ok": self.ok}

    @property
    def ok(self) -> bool:
        """Whether there are no problems; there may be warnings."""
        return not any(finding.problem for finding in self.findings)


@dataclasses.dataclass(frozen=True)
class _Image:
    """A file with its split and its classes."""

    split: str
    labels: tuple[str, ...]
    examined: Examined

    @property
    def path(self) -> str:
        return self.examined.path


def review(listing: Listing, examined: list[Examined]) -> Audit:
    """Says what is wrong with listed files.

    Args:
        listing: files and classes.
        examined: what is known of `listing.paths`, in their order.
    """
    places = [(split, file.labels) for split, files in listing.files.items() for file in files]
    images = [_Image(*place, found) for place, found in zip(places, examined, strict=True)]
    usable = [image for image in images if not image.examined.problem]
    counts = {split: dict.fromkeys(classes, 0) for split, classes in listing.classes.items()}
    for image in usable:
        for label in image.labels:
            counts[image.split][label] += 1
    findings = [
        *_unreadable(images),
        *_class_problems(listing, counts),
        *_copies(usable, divided=len(listing.files) > 1),
        *_ignored(listing.ignored),
        *_imbalance(counts["train"]),
        *_sizes(usable),
        *_traits(usable),
    ]
    findings.sort(key=lambda finding: not finding.problem)
    decoded = all(found.final for found in examined)
    return Audit(listing.source, counts, tuple(findings), decoded)


def _unreadable(images: list[_Image]) -> Iterator[Finding]:
    problems = tuple(image.examined.problem for image in images if image.examined.problem)
    if problems:
        yield Finding(
            "unreadable",
            True,
            f"{_count(len(problems), 'file')} that cannot be read or decoded",
            problems,
        )


def _class_problems(listing: Listing, counts: dict[str, dict[str, int]]) -> Iterator[Finding]:
    empty = tuple(
        f"{split}: {label}"
        for split, labels in counts.items()
        for label, count in labels.items()
        if not count
    )
    if empty:
        yield Finding("empty class", True, "no usable image of a class", empty)
    if len(counts["train"]) == 1:
        yield Finding(
            "one class",
            True,
            f"{next(iter(counts['train']))} is the only class; expected 2 or more",
        )
    for split in counts:
        if listing.differing(split):
            text = f"the classes of train and {split} are not the same"
            yield Finding("class names", True, text, tuple(listing.differing(split)))


def _copies(images: list[_Image], divided: bool) -> Iterator[Finding]:
    """Files of equal content, in several splits, under several classes, or neither."""
    leaks, labels, copies = [], [], []
    for group in _equal_files(images):
        item = " = ".join(image.path for image in group)
        if len({image.split for image in group}) > 1:
            leaks.append(item)
        if len({image.labels for image in group}) > 1:
            labels.append(item)
        if len({(image.split, image.labels) for image in group}) < len(group):
            copies.append(item)
    alike = "more than once in a class"
    alike += "" if divided else "; splits held out of this folder may share them"
    yield from _of_images("leak", True, leaks, "in more than one split: results look too good")
    yield from _of_images("two labels", True, labels, "in more than one class")
    yield from _of_images("copies", False, copies, alike)


def _of_images(kind: str, problem: bool, items: list[str], text: str) -> Iterator[Finding]:
    """A finding about so many images, where there are any."""
    if items:
        yield Finding(kind, problem, f"{_count(len(items), 'image')} {text}", tuple(items))


def _equal_files(images: list[_Image]) -> Iterator[list[_Image]]:
    """Groups of files of equal content, of those that were read to their end."""
    groups = collections.defaultdict(list)
    for image in images:
        if image.examined.digest is not None:
            groups[image.examined.digest].append(image)
    yield from (group for group in groups.values() if len(group) > 1)


def _ignored(files: tuple[str, ...]) -> Iterator[Finding]:
    suffixes = collections.Counter(suffix_of(path) or "(none)" for path in files)
    if suffixes:
        items = tuple(f"{suffix}: {count:,}" for suffix, count in suffixes.most_common())
        text = f"{_count(suffixes.total(), 'file')} ignored, by suffix"
        yield Finding("ignored", False, text, items)


def _imbalance(counts: dict[str, int]) -> Iterator[Finding]:
    filled = {label: count for label, count in counts.items() if count}
    if not filled:
        return
    small, large = min(filled, key=filled.__getitem__), max(filled, key=filled.__getitem__)
    if filled[large] >= _IMBALANCED * filled[small]:
        text = f"{filled[large]:,} images of {large} to train, but {filled[small]:,} of {small}"
        yield Finding("imbalance", False, text)


def _sizes(images: list[_Image]) -> Iterator[Finding]:
    tiny, elongated, rotated = [], [], 0
    for image in images:
        found = image.examined
        short, long = sorted((found.width, found.height))
        item = f"{found.path}: {found.width} x {found.height}"
        if short < _TINY:
            tiny.append(item)
        if long > _ELONGATED * short:
            elongated.append(item)
        rotated += found.orientation != 1
    yield from _of_images("tiny", False, tiny, f"with less than {_TINY} pixels to a side")
    yield from _of_images(
        "elongated", False, elongated, f"more than {_ELONGATED} times as long as wide"
    )
    if rotated:
        text = f"{_count(rotated, 'image')} turned upright when read, by EXIF orientation"
        yield Finding("rotated", False, text)


def _traits(images: list[_Image]) -> Iterator[Finding]:
    for trait, text in _TRAITS.items():
        having = [image.path for image in images if trait in image.examined.traits]
        yield from _of_images(trait, False, having, text)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
