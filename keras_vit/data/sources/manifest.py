# SPDX-License-Identifier: MIT
"""A table that names image files and their classes: CSV, TSV or JSON lines.

    path,label,split            {"path": "a.jpg", "label": ["cat", "dog"]}
    a.jpg,cat|dog,train

Relative paths start at the folder of the table. Where a label holds `|` or is a JSON list, every
image may have several classes or none.
"""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from keras_vit.data.images import SUFFIXES, suffix_of
from keras_vit.data.sources.listing import SPLIT_NAMES, Labelled, Listing, used
from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json, read_text
from keras_vit.untrusted.text import Line

MANIFESTS = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
_COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image"),
    "label": ("label", "labels", "class", "classes", "class_name", "category", "tags", "target"),
    "split": ("split", "subset", "partition"),
}
_SEPARATOR = "|"
_HELP = (
    "Expected columns path and label, and perhaps split: a first line `path,label,split`, or JSON "
    'objects {"path": "a.jpg", "label": "cat"}'
)


def list_manifest(path: Path) -> Listing:
    """Reads a manifest; the files themselves are not opened.

    Args:
        path: a .csv, .tsv, .jsonl or .ndjson file in UTF-8.

    Raises:
        UserError: names the line and what was expected.
    """
    rows = _rows(path)
    several = any(_is_list(row["label"]) for _, row in rows)
    files = _labelled(path, rows, several)
    if not files["train"]:
        raise UserError(f"{path}: no row is of the split train.")
    classes = {split: sorted(used(labelled)) for split, labelled in files.items()}
    task = "multi" if several else "single"
    return Listing(str(path), path.parent, classes, files, task=task, complete=False)


def _rows(path: Path) -> list[tuple[int, dict]]:
    """The rows of a table, at least one, each with the number of its line."""
    text = read_text(path, limits.MANIFEST)
    try:
        found = _json_rows(path, text) if _is_json(path) else _table_rows(path, text)
        rows = list(itertools.islice(found, limits.MANIFEST_LINES + 1))
    except csv.Error as error:
        raise UserError(f"{path}: is not a table that can be read ({error}).") from error
    if not rows:
        raise UserError(f"{path}: has no rows. {_HELP}.")
    if len(rows) > limits.MANIFEST_LINES:
        raise UserError(f"{path}: has more than the limit of {limits.MANIFEST_LINES:,} rows.")
    return rows


def _labelled(path: Path, rows: list[tuple[int, dict]], several: bool) -> dict[str, list[Labelled]]:
    """The files of each split, "train" first, in the order of their rows."""
    files: dict[str, list[Labelled]] = {"train": []}
    lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        name = _path(where, row["path"], path.parent)
        if name in lines:
            raise UserError(
                f"{where}: {name} is in line {lines[name]} already. Expected each file once; "
                f"several classes go into one label: cat{_SEPARATOR}dog."
            )
        lines[name] = line
        split = _split(where, row.get("split"))
        files.setdefault(split, []).append(Labelled(name, _labels(where, row["label"], several)))
    return files


def _is_json(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _table_rows(path: Path, text: str) -> Iterator[tuple[int, dict]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = next((row for row in reader if row), None)
    if first is None:
        return
    columns = _columns([cell.strip() for cell in first])
    if not columns and len(first) in (2, 3) and _looks_like_an_image(first[0]):
        columns = dict(zip(_COLUMNS, range(len(first)), strict=False))  # no header
        yield reader.line_num, {name: first[place] for name, place in columns.items()}
    if not {"path", "label"} <= columns.keys():
        raise UserError(f"{path}: its first line has {first[:10]}. {_HELP}.")
    for row in reader:
        if row and len(row) <= max(columns.values()):
            raise UserError(
                f"{path}, line {reader.line_num}: expected {len(first)} cells, as in the first "
                f"line, received {len(row)}."
            )
        if row:
            yield reader.line_num, {name: row[place] for name, place in columns.items()}


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict]]:
    for line, content in enumerate(io.StringIO(text), 1):
        if not content.strip():
            continue
        row = parse_json(content, f"{path}, line {line}", limit=limits.MANIFEST_LINE)
        columns = _columns(list(row)) if isinstance(row, dict) else {}
        if not {"path", "label"} <= columns.keys():
            raise UserError(f"{path}, line {line}: received {content.strip()[:80]!r}. {_HELP}.")
        values = list(row.values())
        yield line, {name: values[place] for name, place in columns.items()}


def _columns(header: list[str]) -> dict[str, int]:
    """Where path, label and split stand, of those that there are."""
    places = {cell.lower(): place for place, cell in reversed(list(enumerate(header)))}
    return {
        name: next(places[spelling] for spelling in spellings if spelling in places)
        for name, spellings in _COLUMNS.items()
        if any(spelling in places for spelling in spellings)
    }


def _looks_like_an_image(cell: str) -> bool:
    return suffix_of(cell.strip()) in SUFFIXES


def _path(where: str, value: object, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip() or not _is_clean(value):
        raise UserError(f"{where}: expected the name of an image file, received {value!r}.")
    return str(folder / value.strip())


def _split(where: str, value: object) -> str:
    if value is None:
        return "train"
    split = SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
    if split is None:
        raise UserError(f"{where}: expected the split train, val or test, received {value!r}.")
    return split


def _is_list(value: object) -> bool:
    if isinstance(value, str):
        return _SEPARATOR in value or _json_list(value) is not None
    return isinstance(value, list)


def _json_list(cell: str) -> list | None:
    if not cell.strip().startswith("["):
        return None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return None  # a class may be called "[a"
    return value if isinstance(value, list) else None


def _labels(where: str, value: object, several: bool) -> tuple[str, ...]:
    if isinstance(value, str):
        listed = _json_list(value)
        value = value.split(_SEPARATOR) if listed is None else listed
        value = [] if several and value == [""] else value
    names = [_name(where, label) for label in (value if isinstance(value, list) else [value])]
    return tuple(sorted(set(names)))


def _name(where: str, value: object) -> str:
    """One class name; whole numbers are as good as names."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    name = value.strip() if isinstance(value, str) else ""
    if not Line()(name):
        raise UserError(f"{where}: expected the name of a class, received {value!r}.")
    return name


def _is_clean(text: str) -> bool:
    """Whether text can name a file: no NUL, and no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
