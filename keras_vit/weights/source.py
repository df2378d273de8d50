# SPDX-License-Identifier: MIT
"""A checkpoint, opened and understood: what it is, and its variables under our paths. No Keras."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.dialects import family
from keras_vit.weights.facts import config_beside, facts_beside
from keras_vit.weights.formats import Checkpoint, open_checkpoint
from keras_vit.weights.infer import infer
from keras_vit.weights.naming import bind, read
from keras_vit.weights.resample import Resampling
from keras_vit.weights.spelling import Canonical, canonical

# How each library fits its own checkpoints to another size.
HOMES = {
    "flax": Resampling("zoom"),
    "big_vision": Resampling("zoom"),
    "timm": Resampling("bicubic_antialias", "bicubic_antialias"),
    "hf": Resampling("bicubic"),
}


class Source(NamedTuple):
    """An opened checkpoint.

    Attributes:
        dialect: a key of `DIALECTS`.
        config: the model that the file holds, at the size it was made for.
        checkpoint: its tensors under the names of the dialect's table.
        prefix: what was taken off the names in the file.
        skipped: names in the file that are not part of the model.
    """

    dialect: str
    config: ViTConfig
    checkpoint: Checkpoint
    prefix: str
    skipped: tuple[str, ...]

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (our path, float32 array) for every variable, reading one tensor at a time."""
        return read(bind(self.dialect, self.config), self.checkpoint, self.config)

    @property
    def resampling(self) -> Resampling:
        """How the home of the dialect fits a checkpoint to another size."""
        return HOMES[family(self.dialect)]


def open_source(
    path: str | os.PathLike,
    skip: Sequence[str] = (),
    *,
    architecture: str | None = None,
    **known: Any,
) -> Source:
    """Opens a checkpoint and infers its configuration; reads no numbers.

    Args:
        path: a file, a folder, or `file.npz:img` for one part of a Flax tree.
        skip: patterns (`fnmatch`) of names in the file to treat as if they were not there.
        architecture: what timm calls the model, where nothing beside the file says it.
        **known: fields of `ViTConfig` that the caller knows; None for those it does not. They go
            before what the files say, but for `image_size`, which is that of the file only where
            nothing else tells.
    """
    path, subtree = split_subtree(path)
    config_beside(path)  # what a name says of a model is a better reason to refuse it than tensors
    found = canonical(open_checkpoint(path), skip, subtree)
    config = configuration(found, path, architecture, known)
    return Source(found.dialect, config, found.checkpoint, found.prefix, found.skipped)


def configuration(
    found: Canonical, path: Path, architecture: str | None, known: Mapping[str, Any]
) -> ViTConfig:
    """What a checkpoint is, by its tensors, the files beside it and what the caller knows; see
    `open_source`."""
    facts = facts_beside(path, found.checkpoint.metadata, architecture, family(found.dialect))
    known = {name: value for name, value in known.items() if value is not None}
    asked = known.pop("image_size", None)
    facts = {"image_size": asked, **facts, **known, "asked_size": asked}
    return infer(found.dialect, found.checkpoint.specs, facts, str(path), found.names)


def split_subtree(path: str | os.PathLike) -> tuple[Path, str | None]:
    """`file.npz:img` as the file and "img"; a path without a part, and None."""
    text = os.fspath(path)
    file, colon, subtree = text.rpartition(":")
    if colon and not Path(text).exists() and file.endswith(".npz"):
        return Path(file), subtree
    return Path(text), None
