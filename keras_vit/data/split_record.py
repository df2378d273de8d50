# SPDX-License-Identifier: MIT
"""Which image of a run is in which split, so that a run is tested on what it held out even when its
folder has grown since."""

import csv
import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np

from keras_vit.data.checks.cache import examine_known
from keras_vit.data.checks.examine import broken_message
from keras_vit.data.dataset import Files, ImageSet, Split
from keras_vit.data.sources.listing import encode
from keras_vit.data.sources.resolve import read_examples, root_of
from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json, read_bytes
from keras_vit.untrusted.text import csv_cell, from_csv_cell

_COLUMNS = ("path", "split", "label")


def write_splits(file: Path, images: ImageSet) -> None:
    """Writes which image is in which split, for `SplitRecord.read`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    prefix = "" if images.root is None else os.path.join(images.root, "")  # noqa: PTH118
    for name, split in images.splits.items():
        for i in range(len(split)):
            path = split.name_of(i).removeprefix(prefix)
            label = _label(split.labels[i], images.classes)
            writer.writerow((csv_cell(path), name, csv_cell(label)))
    with replacing(file) as temporary:
        # A file name may be bytes that are no text; they come back as they were.
        temporary.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


@dataclasses.dataclass(frozen=True)
class SplitRecord:
    """Which image was in which split when a run began.

    Attributes:
        file: where that is written.
        rows: name of a split -> its images in order, each a row of the file by column.
    """

    file: Path
    rows: dict[str, list[dict[str, str]]]

    @classmethod
    def read(cls, file: Path) -> "SplitRecord":
        """Reads what `write_splits` wrote.

        Raises:
            UserError: for a file that is no such record.
        """
        text = read_bytes(file, limits.MANIFEST, follow=False).decode("utf-8", "surrogateescape")
        rows: dict[str, list[dict[str, str]]] = {}
        try:
            for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
                rows.setdefault(row["split"], []).append(row)
        except (csv.Error, KeyError) as error:
            raise _no_record(file, error) from error
        return cls(file, rows)

    def split(
        self,
        name: str,
        source: str,
        classes: tuple[str, ...],
        task: str = "single",
        data_dir: str | None = None,
    ) -> Split:
        """A split as it was, from the images that were in it then.

        Args:
            name: "train", "validation" or "test".
            source: where the images are; see `keras_vit.data.load`.
            classes: the class names of the run.
            task: "single" or "multi", see `ImageSet.task`.
            data_dir: where TFDS keeps its data sets.

        Raises:
            UserError: when an image is not there any more.
        """
        rows = self.rows.get(name, [])
        try:
            names = [_names(from_csv_cell(row["label"]), task) for row in rows]
            labels = encode(names, list(classes), task)
            places = [from_csv_cell(row["path"]) for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise _no_record(self.file, error) from error
        if not rows:
            raise UserError(f"{self.file}: has no example of the split {name}.")
        root = root_of(source)
        if root is None:
            return _examples(self.file, places, labels, read_examples(source, data_dir)[1])
        paths = [os.path.join(root, place) for place in places]  # noqa: PTH118 (many files)
        examined = examine_known(paths, root, decode=False)
        problems = [one.problem for one in examined if one.problem]
        if problems:
            raise UserError(broken_message(source, problems))
        orientation = np.array([one.orientation for one in examined], dtype="uint8")
        return Files(labels, paths, orientation)


def _examples(record: Path, places: list[str], labels: np.ndarray, splits: dict) -> Split:
    """Examples that are no files: `train/17` stands at position 17 of the source's split train."""
    source, indices = places[0].partition("/")[0], []
    for place in places:
        split, _, index = place.partition("/")
        known = split == source and split in splits and index.isdecimal()
        if not known or int(index) >= len(splits[split]):
            raise UserError(f"{record}: {place!r} is not in the data any more.")
        indices.append(int(index))
    found = splits[source].take(np.array(indices))
    if not np.array_equal(found.labels, labels):
        raise UserError(f"{record}: the labels in the data are not those of the run any more.")
    return found


def _label(label: np.ndarray, classes: tuple[str, ...]) -> str:
    """A class name; of a multi-label example, a JSON list of them; nothing without classes."""
    if not classes:
        return ""
    if label.ndim == 0:
        return classes[label]
    return json.dumps([classes[place] for place in np.flatnonzero(label)], ensure_ascii=False)


def _names(label: str, task: str) -> tuple[str, ...]:
    return (label,) if task == "single" else tuple(parse_json(label, "label", list[str]))


def _no_record(file: Path, error: Exception) -> UserError:
    return UserError(f"{file}: is not a record of splits ({error!r}).")
