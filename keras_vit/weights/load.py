# SPDX-License-Identifier: MIT
"""A checkpoint of any dialect -> a Keras model."""

import os
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.models import ViT, vit
from keras_vit.models.variables import variables_of
from keras_vit.progress import track
from keras_vit.weights.source import Source, open_source


def load_model(path: str | os.PathLike, **options: Any) -> ViT:
    """Loads a Vision Transformer from a checkpoint of any known dialect.

    The dialect and the whole configuration are read off the tensors and the JSON files next to
    them; every variable is written exactly once, and every tensor is used or skipped by name.
    `keras_vit.load_model` passes everything on to here that is no run and no `.keras` file.

    Args:
        path: `.npz` (official, big_vision; `file.npz:img` for one tower), `.safetensors` (timm), a
            folder (Hugging Face, timm, KerasHub), `.bin` or `.pth` (with PyTorch installed), or
            `.keras` (ours).
        **options: what the file does not tell, and what is wanted otherwise: those of
            `keras_vit.weights.LoadOptions`, e.g. `image_size=384, num_classes=10`.

    Returns:
        A model as `keras_vit.vit` builds it: pixels of 0 to 255 in, logits out.

    Raises:
        UserError: for a file that is unsound, unknown or incomplete, with what to do.
    """
    return build(open_source(path, **options))


def build(source: Source) -> ViT:
    """The model of a checkpoint that has been opened, as its options want it."""
    config, arrays = source.fitted()
    model = _empty(config)
    fill(model, arrays)
    model.origins, model.view = source.origins, source.view
    return model


def fill(model: keras.Model, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """Writes every variable of a model exactly once.

    Args:
        model: a model that `vit` built.
        arrays: (path, array) pairs.

    Raises:
        UserError: for a variable written twice or not at all.
    """
    variables = variables_of(model)
    left = set(variables)
    broken: dict[str, int] = {}
    for path, array in track(arrays, "loading weights", len(variables), "tensors"):
        if path not in left:
            raise UserError(f"{path}: written twice, or not a variable of the model.")
        left.remove(path)
        if not_finite := array.size - int(np.count_nonzero(np.isfinite(array))):
            broken[path] = not_finite
        variables[path].assign(array)
    if left:
        raise UserError(f"variables without values: {', '.join(sorted(left)[:12])}.")
    if broken:
        warnings.warn(
            f"{sum(broken.values())} weights in {len(broken)} variables are NaN or infinite "
            f"({', '.join(list(broken)[:3])}); the model will not compute anything useful.",
            stacklevel=3,
        )


def _empty(config: ViTConfig) -> ViT:
    """`vit(config)` full of zeros.

    Drawing 86 million random numbers only to overwrite them costs seconds, and twice the memory.
    """
    with keras.StatelessScope():  # variables get their values when it ends
        model = vit(config)
        for variable in model.weights:
            variable._initializer = keras.initializers.Zeros()
    return model
