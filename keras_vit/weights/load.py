# SPDX-License-Identifier: MIT
"""A checkpoint of any dialect -> a Keras model."""

import os
import warnings
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.models import vit
from keras_vit.progress import track
from keras_vit.weights.model_variables import variables_of
from keras_vit.weights.opening import open_fitted


def load_model(
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
) -> keras.Model:
    """Loads a Vision Transformer from a checkpoint of any known dialect.

    The dialect and the whole configuration are read off the tensors and the JSON files beside them;
    every variable is written exactly once, and every tensor is used or skipped by name.
    `keras_vit.load_model` passes everything on to here that is no run and no `.keras` file.

    Args:
        path: `.npz` (official, big_vision; `file.npz:img` for one tower), `.safetensors` (timm), a
            folder (Hugging Face, timm, KerasHub), `.bin` or `.pth` (with PyTorch installed), or
            `.keras` (ours).
        image_size: height and width in pixels to resample the positions for. Where the file does
            not tell its own (grids that are not square), the size of the file.
        num_heads: attention heads, where nothing in the file tells (bare timm files).
        num_classes: another number of classes replaces the head by one that starts from zero (and,
            as in the paper, drops the tanh layer before it); 0 takes it off, so that the model
            returns its representation.
        pixel_mean: what is subtracted from pixels / 255, where no JSON file tells; default 0.5.
        pixel_std: what divides them after that; default 0.5.
        architecture: what timm calls the model, e.g. `"vit_base_patch16_224"`, for a bare file: it
            tells heads, GELU, epsilon and pool, which tensors do not.
        gelu: "exact" or "tanh", for a bare timm file of a model made with another `act_layer`.
        norm_epsilon: epsilon of every LayerNorm, for a bare file of a model made with another.
        pool: "average", for a bare timm file of a model that has a class token, averages all the
            same, and normalises before that.
        patch_size: another patch size, through the pseudo-inverse resize of FlexiViT; of timm's
            files as timm does it, with a bicubic instead of a bilinear.
        resample: how positions are resampled. Each library's own way if not given: "zoom" (`.npz`),
            "bicubic" (transformers) or "bicubic_antialias" (timm, `.keras`); see
            `keras_vit.interpolation.matrix`.
        skip: patterns of names in the file to treat as if they were not there, e.g. `"extra/*"`;
            what the encoder computes with cannot be left out.

    Returns:
        A model as `keras_vit.vit` builds it: pixels of 0 to 255 in, logits out.

    Raises:
        UserError: for a file that is unsound, unknown or incomplete, with what to do.
    """
    config, arrays = open_fitted(
        path,
        image_size=image_size,
        num_heads=num_heads,
        num_classes=num_classes,
        pixel_mean=pixel_mean,
        pixel_std=pixel_std,
        architecture=architecture,
        gelu=gelu,
        norm_epsilon=norm_epsilon,
        pool=pool,
        patch_size=patch_size,
        resample=resample,
        skip=skip,
    )
    model = _built(config)
    fill(model, arrays)
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


def _built(config: ViTConfig) -> keras.Model:
    """`vit(config)` full of zeros.

    Drawing 86 million random numbers only to overwrite them costs seconds, and twice the memory.
    """
    with keras.StatelessScope():  # variables get their values when it ends
        model = vit(config)
        for variable in model.weights:
            variable._initializer = keras.initializers.Zeros()
    return model
