# SPDX-License-Identifier: MIT
"""Data sets of TFDS, whose images are held in memory in their encoded form.

Names are read off its folders: to import TFDS for a typo would take seconds.
"""

import difflib
import importlib.util
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import Split
from keras_vit.data.sources.stored import stored_split
from keras_vit.errors import UserError, unknown
from keras_vit.progress import track

_SPLITS = ("train", "validation", "test")
_DEFAULT_DATA_DIR = "~/tensorflow_datasets"


def tfds_splits(name: str, data_dir: str | None) -> tuple[list[str], dict[str, Split]]:
    """Class names and splits of a TFDS data set, downloaded if it is not there.

    Args:
        name: of the data set, with "/CONFIG" where it has several.
        data_dir: where TFDS keeps its data sets; None for its default.
    """
    import tensorflow_datasets as tfds  # brings TensorFlow

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise unknown_name(name, data_dir) from error
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS lets the errors of every downloader through
        raise UserError(
            f"tfds:{name}: is not in {builder.data_dir} and cannot be downloaded "
            f"({type(error).__name__}: {str(error)[:200]}). Prepare it where there is a network "
            f"with `tfds build {name}`, copy the folder, and pass --data_dir."
        ) from error
    features = builder.info.features
    if "image" not in features or "label" not in features:
        raise UserError(
            f"tfds:{name}: expected features 'image' and 'label', received {sorted(features)}."
        )
    held = builder.info.splits
    splits = {split: _read(builder, split) for split in _SPLITS if split in held}
    if "train" not in splits:
        raise UserError(f"tfds:{name}: has no split 'train', only {sorted(held)}.")
    return list(features["label"].names), splits


def _read(builder, split: str) -> Split:
    """The encoded images and labels of one split, in the order of its files."""
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1),  # one order, always
    )
    count = builder.info.splits[split].num_examples
    found = track(dataset.as_numpy_iterator(), f"reading tfds:{builder.name}", count)
    rows = [(row["image"], row["label"]) for row in found]
    encoded, labels = zip(*rows, strict=True) if rows else ((), ())
    where = f"tfds:{builder.name}, {split}"
    return stored_split(where, np.asarray(labels, dtype="int64"), encoded)


def check_name(name: str, data_dir: str | None) -> None:
    """Raises a `UserError` for a name that is none but is close to one.

    Args:
        name: a data set, perhaps with "/CONFIG" or ":VERSION".
        data_dir: where prepared data sets lie; None for the default of TFDS.

    A name that is close to none is left for TFDS to judge: it knows further places.
    """
    bare = name.partition("/")[0].partition(":")[0]
    known = tfds_names(data_dir)
    if bare not in known and difflib.get_close_matches(bare, known, 1, 0.6):
        raise _unknown(bare, known)


def unknown_name(name: str, data_dir: str | None) -> UserError:
    """The error for a name that TFDS does not know."""
    return _unknown(name, tfds_names(data_dir))


def tfds_names(data_dir: str | None) -> set[str]:
    """Data sets that TFDS ships code for, and those prepared in `data_dir`."""
    names = set()
    package = importlib.util.find_spec("tensorflow_datasets")
    for root in map(Path, package.submodule_search_locations):
        names |= {path.name for path in (root / "datasets").glob("[a-z]*") if path.is_dir()}
        names |= {path.stem for path in (root / "image_classification").glob("[a-z]*.py")}
        names |= {path.stem for path in (root / "url_checksums").glob("*.txt")}
    names = {name for name in names if not name.endswith("_test")}
    local = Path(data_dir or _DEFAULT_DATA_DIR).expanduser()
    if local.is_dir():
        names |= {path.name for path in local.iterdir() if path.is_dir()}
    return names


def _unknown(name: str, known: set[str]) -> UserError:
    return unknown("TFDS data set", name, known, "`tfds` catalog; prepared ones need --data_dir")
