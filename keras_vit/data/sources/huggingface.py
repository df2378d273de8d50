# SPDX-License-Identifier: MIT
"""Data sets of the Hugging Face hub, whose images are held in memory in their encoded form."""

import importlib.util
from pathlib import Path

from keras_vit.data.dataset import Split
from keras_vit.data.sources.listing import SPLIT_NAMES, encode
from keras_vit.data.sources.stored import stored_split
from keras_vit.errors import UserError
from keras_vit.progress import track


def check_hf() -> None:
    """Raises a `UserError` unless the package `datasets` is installed."""
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            "data sets of the Hugging Face hub need the package datasets: pip install datasets"
        )


def hf_splits(name: str) -> tuple[list[str], dict[str, Split]]:
    """Class names and splits of a data set of the Hugging Face hub.

    Args:
        name: of the data set, or of a folder that `datasets.load_dataset` reads; with ":CONFIG"
            where it has several.

    It needs one column of images and one of class labels, or of lists of them.
    """
    check_hf()
    import datasets

    bare, _, config = name.partition(":")
    try:
        tables = datasets.load_dataset(bare, config or None)
    except Exception as error:  # of the hub, of the network, of Arrow ...
        raise UserError(
            f"hf:{name}: cannot be loaded ({type(error).__name__}: {str(error)[:200]}). Without a "
            "network it must be in the cache of `datasets` already."
        ) from error
    splits: dict[str, Split] = {}
    classes: list[str] = []
    for theirs, table in tables.items():
        if theirs.lower() in SPLIT_NAMES:
            image, label, several, classes = _columns(name, table.features)
            table = table.cast_column(image, datasets.Image(decode=False))
            splits[SPLIT_NAMES[theirs.lower()]] = _hf_split(
                f"hf:{name}, {theirs}", table[image], table[label], several, classes
            )
    if "train" not in splits:
        raise UserError(f"hf:{name}: has no split train, only {sorted(tables)}.")
    return classes, splits


def _columns(name: str, features: dict) -> tuple[str, str, bool, list[str]]:
    """The column of images, that of labels, whether it holds lists, and the class names."""
    images = [column for column, kind in features.items() if type(kind).__name__ == "Image"]
    labels = [
        (column, inner is not kind, list(inner.names))
        for column, kind in features.items()
        for inner in [getattr(kind, "feature", kind)]
        if type(inner).__name__ == "ClassLabel"
    ]
    if len(images) != 1 or len(labels) != 1:
        kinds = {column: type(kind).__name__ for column, kind in features.items()}
        raise UserError(
            f"hf:{name}: expected one column of Image and one of ClassLabel, received {kinds}."
        )
    return (images[0], *labels[0])


def _hf_split(where: str, cells, labels, several: bool, classes: list[str]) -> Split:
    cells = track(cells, f"reading {where}", len(labels))
    encoded = [cell["bytes"] or Path(cell["path"]).read_bytes() for cell in cells]
    listed = [value if several else [value] for value in labels]
    unknown = next(
        (i for i, row in enumerate(listed) if None in row or min(row, default=0) < 0), None
    )
    if unknown is not None:
        raise UserError(f"{where}: example {unknown} has no label, as in a test set of a contest.")
    names = [tuple(classes[place] for place in row) for row in listed]
    return stored_split(where, encode(names, classes, "multi" if several else "single"), encoded)
