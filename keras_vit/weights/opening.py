# SPDX-License-Identifier: MIT
"""Any source of weights -> a configuration and its variables, at the size that is wanted.

Keras is imported for sources that only Keras can read (`.keras`, KerasHub presets).
"""

import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, unknown
from keras_vit.weights.resample import METHODS, Resampling, patch_kernel, position_grid
from keras_vit.weights.source import open_source
from keras_vit.weights.variables import shapes

Arrays = Iterator[tuple[str, np.ndarray]]

_HEADS = ("pre_logits", "head", "distillation_head")
_log = logging.getLogger(__name__)


def open_fitted(
    path: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] | None = None,
    num_heads: int | None = None,
    num_classes: int | None = None,
    pixel_mean: float | Sequence[float] | None = None,
    pixel_std: float | Sequence[float] | None = None,
    architecture: str | None = None,
    gelu: str | None = None,
    norm_epsilon: float | None = None,
    pool: str | None = None,
    patch_size: int | tuple[int, int] | None = None,
    resample: str | None = None,
    skip: str | Sequence[str] = (),
) -> tuple[ViTConfig, Arrays]:
    """Opens a source of weights; the arguments are those of `load_model`.

    Returns:
        The configuration that is wanted, and (our path, array) for each of its variables, read one
        at a time.
    """
    if resample not in (None, *METHODS):
        raise unknown("resampling method", resample, METHODS)
    told = {
        "pixel_mean": pixel_mean,
        "pixel_std": pixel_std,
        "gelu": gelu,
        "norm_epsilon": norm_epsilon,
        "pool": pool,
    }
    file = own_file(path)
    if file is not None or _is_keras_hub(Path(path)):
        old, arrays = _from_keras(file or Path(path))
        old = dataclasses.replace(old, **{k: v for k, v in told.items() if v is not None})
        method = Resampling()
    else:
        told |= {"image_size": image_size, "num_heads": num_heads}
        source = open_source(path, skip, architecture=architecture, **told)
        old, arrays, method = source.config, source.arrays(), source.resampling
    new = _wanted(old, image_size, patch_size, num_classes)
    if resample is not None:
        method = method._replace(positions=resample)
    return new, _fitted(arrays, old, new, method)


def _wanted(old: ViTConfig, image_size: Any, patch_size: Any, num_classes: int | None) -> ViTConfig:
    changes: dict[str, Any] = {}
    if patch_size is not None:
        changes["patch_size"] = patch_size
        # The grid stays as it is unless a size is asked for.
        sides = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
        changes["image_size"] = tuple(
            cells * old.stem_stride * side for cells, side in zip(old.grid, sides, strict=True)
        )
    if image_size is not None:
        changes["image_size"] = image_size
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


def _fitted(
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
        if path in wanted and (keeps_head or not _is_new_head(path, new)):
            yield path, array
    if not keeps_head:
        for path, shape in wanted.items():
            if _is_new_head(path, new):
                yield path, np.zeros(shape, np.float32)


def _is_new_head(path: str, new: ViTConfig) -> bool:
    """Whether a head that is replaced has this variable; without classes, what is left stays."""
    return new.num_classes > 0 and path.partition("/")[0] in _HEADS


def own_file(path: str | os.PathLike) -> Path | None:
    """The `.keras` file of a run folder, or the path itself if it is one; else None."""
    path = Path(path)
    if (path / "recipe.json").is_file():
        return path / "model.keras"
    return path if path.suffix == ".keras" else None


def _from_keras(path: Path) -> tuple[ViTConfig, Arrays]:
    import keras

    from keras_vit.models import config_of
    from keras_vit.models.keras_file import load_keras
    from keras_vit.weights.model_variables import variables_of

    if path.is_dir():
        from keras_vit.weights.keras_hub import open_preset

        return open_preset(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    model = load_keras(path)
    variables = variables_of(model)
    return config_of(model), (
        (name, keras.ops.convert_to_numpy(v)) for name, v in variables.items()
    )


def _is_keras_hub(path: Path) -> bool:
    return (path / "model.weights.h5").is_file() and (path / "config.json").is_file()
