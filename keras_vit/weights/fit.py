# SPDX-License-Identifier: MIT
"""The model of a file with another image size, patch size or head."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.weights.options import LoadOptions
from keras_vit.weights.resample import Resampling, offset_table, patch_kernel, position_grid

Arrays = Iterator[tuple[str, np.ndarray]]  # (our path, array), each read when it is asked for

_HEADS = ("pre_logits", "head", "distillation_head")
_log = logging.getLogger(__name__)


def wanted(old: ViTConfig, options: LoadOptions) -> ViTConfig:
    """The configuration that options make of that of a file."""
    changes: dict[str, Any] = {}
    patch_size, num_classes = options.patch_size, options.num_classes
    if patch_size is not None:
        changes["patch_size"] = patch_size
        # The grid stays as it is unless a size is asked for.
        sides = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
        changes["image_size"] = tuple(
            cells * old.stem_stride * side for cells, side in zip(old.grid, sides, strict=True)
        )
    if options.image_size is not None:
        changes["image_size"] = options.image_size
    if num_classes is not None and num_classes != old.num_classes:
        changes["num_classes"] = num_classes
        if num_classes:
            # Appendix B.1.1 of arXiv 2010.11929: the whole head becomes one layer of zeros.
            changes |= {"representation_size": 0, "head_bias": 0.0}
            _say_replaced(old, num_classes)
    return dataclasses.replace(old, **changes)


def _say_replaced(old: ViTConfig, num_classes: int) -> None:
    dropped = " and the tanh layer before it" if old.representation_size else ""
    _log.warning(
        "the head for %d classes%s is replaced by one for %d that starts from zero: train it.",
        old.num_classes,
        dropped,
        num_classes,
    )


def fitted(
    arrays: Iterable[tuple[str, np.ndarray]], old: ViTConfig, new: ViTConfig, method: Resampling
) -> Arrays:
    """Passes variables on: resampled where the grid or patch differs, the head where it stays."""
    keeps_head = new.num_classes == old.num_classes
    wanted = shapes(new)
    for path, array in arrays:
        if path == "patch_encoder/position_embedding":
            prefix = old.num_prefix_positions
            array = position_grid(array, old.grid, new.grid, prefix, method.positions)
        elif path == "patch_encoder/projection/kernel":
            sizes = old.patch_size, new.patch_size
            array = patch_kernel(array, *sizes, old.stem_channels, method.patches)
        elif path.endswith("/relative_position_bias/table"):
            array = offset_table(array, old.grid, new.grid, method.offsets)
        if path in wanted and (keeps_head or not _is_new_head(path, new)):
            yield path, array
    if not keeps_head:
        for path, shape in wanted.items():
            if _is_new_head(path, new):
                yield path, np.zeros(shape, np.float32)


def _is_new_head(path: str, new: ViTConfig) -> bool:
    """Whether a head that is replaced has this variable; without classes, what is left stays."""
    return new.num_classes > 0 and path.partition("/")[0] in _HEADS
