# SPDX-License-Identifier: MIT
"""Files of features, written batch by batch, so that no more than one is in memory.

An `.npz` file holds

    features    float32 (n, features)
    names       text (n,): file names, or where an image stood in its source
    labels      int64 (n,), positions in `classes`; uint8 (n, classes) where an image may show
                several; only where there are labels
    classes     text (classes,)
    splits      text (n,): "train", "validation" or "test"; only where the source is divided

and `numpy.load` reads it as it is, without pickles. A `.parquet` file has the columns `name`,
`label` (text, or a list of texts), `split` and `features` (a list of a fixed number of float32).
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_vit.data.image_list import ImageList
from keras_vit.errors import UserError, not_installed

_DATE = (1980, 1, 1, 0, 0, 0)  # equal features give equal files
_CHUNK = 1 << 20  # bytes that are copied at a time
_ROWS = 4096  # names that are written at a time, and features of a group of rows in Parquet


class Writer(Protocol):
    """Takes features as they come."""

    def add(self, places: np.ndarray, features: np.ndarray) -> None:
        """Writes rows.

        Args:
            places: int `(rows,)`, positions of images in the list.
            features: float32 `(rows, features)`.
        """

    def finish(self) -> None:
        """Writes what is left; the file is complete then."""

    def close(self) -> None:
        """Lets go of the file, complete or not."""


def writer_for(path: Path) -> Callable[[Path, ImageList, int], Writer]:
    """What makes a writer of (a path, the list of the images, features in a row).

    Raises:
        UserError: for a name that ends in neither `.npz` nor `.parquet`, and for the latter without
            pyarrow.
    """
    if path.suffix == ".npz":
        return NpzWriter
    if path.suffix != ".parquet":
        raise UserError(f"{path}: expected a file that ends in .npz or .parquet.")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise not_installed(f"{path}", "pyarrow", "parquet") from error
    return ParquetWriter


class NpzWriter:
    """Writes an `.npz`.

    The number of rows is known at the end and stands at the beginning of an array: until then the
    features lie in a file of their own next to it.

    Args:
        path: the file, in a folder that is removed afterwards.
        images: what rows are of.
        width: features in a row.
    """

    def __init__(self, path: Path, images: ImageList, width: int):
        self.path, self.images, self.width = path, images, width
        self.places: list[int] = []
        self.rows = path.with_name("rows").open("w+b")

    def add(self, places: np.ndarray, features: np.ndarray) -> None:
        self.places += places.tolist()
        self.rows.write(features.astype("<f4").tobytes())

    def finish(self) -> None:
        images, places, count = self.images, np.array(self.places), len(self.places)
        self.rows.seek(0)
        rows = iter(lambda: self.rows.read(_CHUNK), b"")
        with zipfile.ZipFile(self.path, "w") as file:
            _write(file, "features", "<f4", (count, self.width), rows)
            _write_texts(file, "names", [images.names[i] for i in places])
            if images.labels is not None and images.classes is not None:
                labels = images.labels[places]
                kind = "<i8" if labels.ndim == 1 else "|u1"
                _write(file, "labels", kind, labels.shape, [labels.astype(kind).tobytes()])
                _write_texts(file, "classes", images.classes)
            if images.splits is not None:
                _write_texts(file, "splits", [images.splits[i] for i in places])

    def close(self) -> None:
        self.rows.close()


def _write(
    file: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...], parts: Iterable[bytes]
) -> None:
    """Writes one array."""
    member = zipfile.ZipInfo(f"{name}.npy", _DATE)
    # Numbers hardly become smaller; names, padded to the longest, do.
    member.compress_type = zipfile.ZIP_DEFLATED if kind.startswith("<U") else zipfile.ZIP_STORED
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    with file.open(member, "w", force_zip64=True) as target:
        np.lib.format.write_array_header_1_0(target, header)
        for part in parts:
            target.write(part)


def _write_texts(file: zipfile.ZipFile, name: str, texts: Iterable[str]) -> None:
    texts = list(texts)
    kind = f"<U{max(1, *map(len, texts))}" if texts else "<U1"
    _write(file, name, kind, (len(texts),), _encoded(texts, kind))


def _encoded(texts: list[str], kind: str) -> Iterator[bytes]:
    for start in range(0, len(texts), _ROWS):
        yield np.array(texts[start : start + _ROWS], kind).tobytes()


class ParquetWriter:
    """Writes a `.parquet` file with pyarrow.

    Args: as of `NpzWriter`.
    """

    def __init__(self, path: Path, images: ImageList, width: int):
        import pyarrow as pa
        from pyarrow import parquet

        self.images = images
        label = pa.string() if _has_one_label(images) else pa.list_(pa.string())
        columns = {"name": pa.string(), "label": label, "split": pa.string()}
        if images.labels is None:
            del columns["label"]
        if images.splits is None:
            del columns["split"]
        self.schema = pa.schema({**columns, "features": pa.list_(pa.float32(), width)})
        self.file = parquet.ParquetWriter(path, self.schema)
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, places: np.ndarray, features: np.ndarray) -> None:
        self.waiting.append((places, features))
        if sum(len(places) for places, _ in self.waiting) >= _ROWS:
            self._write()

    def finish(self) -> None:
        self._write()
        self.file.close()

    def close(self) -> None:
        self.file.close()  # again has no effect

    def _write(self) -> None:
        import pyarrow as pa

        if not self.waiting:
            return
        places, features = (np.concatenate(parts) for parts in zip(*self.waiting, strict=True))
        self.waiting = []
        width = features.shape[1]
        columns = {
            "name": [_utf8(self.images.names[i]) for i in places],
            "label": self.images.labels is not None and [self._label(i) for i in places],
            "split": self.images.splits is not None and [self.images.splits[i] for i in places],
            "features": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), width),
        }
        wanted = {name: columns[name] for name in self.schema.names}
        self.file.write_table(pa.table(wanted, schema=self.schema))

    def _label(self, place: int) -> str | list[str]:
        label, classes = self.images.labels[place], self.images.classes
        if _has_one_label(self.images):
            return _utf8(classes[label])
        return [_utf8(classes[i]) for i in np.flatnonzero(label)]


def _has_one_label(images: ImageList) -> bool:
    return images.labels is not None and images.labels.ndim == 1


def _utf8(name: str) -> str:
    r"""A name as Parquet can hold it: bytes of a file name that are no text are spelled `\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
