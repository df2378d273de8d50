# SPDX-License-Identifier: MIT
"""One call from a name to a model, with weights from anywhere."""

import os
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.models import ViT, vit
from keras_vit.run_folder import RunFolder
from keras_vit.weights.catalog import CATALOG, check_named
from keras_vit.weights.download import fetch
from keras_vit.weights.hub import fetch_repository
from keras_vit.weights.load import build
from keras_vit.weights.source import Source, open_source

_SIZES = ("width", "depth", "mlp_dim", "num_heads", "resnet_stages")


def create(
    name: str,
    *,
    weights: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    **options: Any,
) -> ViT:
    """Makes a Vision Transformer of a published size.

    Every intermediate result has a name: `keras.Model(model.input, model.get_layer("block_05")
    .output)` gives the tokens after the sixth block.

    Args:
        name: `"B/16"`, `"R50+L/32"`, ...: a size and a patch size (see `ViTConfig.of`).
        weights: None for random weights; a path that `load_model` reads; a run folder; a URL;
            `"hf:owner/name"`; or a name of the catalog, e.g. `"B/16-i21k"`.
        image_size: height and width in pixels. Default: that of the weights; 224 without.
        num_classes: outputs of the head, which is replaced where the weights have another number;
            0 for the representation. Default: that of the weights; 1000 without.
        **options: with weights, those of `keras_vit.weights.LoadOptions`; without, fields of
            `ViTConfig`.

    Returns:
        A model from pixels of 0 to 255 to logits, or to the representation.

    Raises:
        UserError: for an unknown name, weights that cannot be had, or weights of another size.
    """
    sizes = {"image_size": image_size, "num_classes": num_classes}
    if weights is None:
        given = {field: value for field, value in sizes.items() if value is not None}
        return vit(ViTConfig.of(name, **given, **options))
    wanted = ViTConfig.of(name)
    source = open_weights(weights, **options, **sizes)
    found = source.config
    differ = [field for field in _SIZES if getattr(found, field) != getattr(wanted, field)]
    if "patch_size" not in options and found.patch_size != wanted.patch_size:
        differ.append("patch_size")
    if differ:
        told = ", ".join(
            f"{field} {getattr(found, field)} where {name} has {getattr(wanted, field)}"
            for field in differ
        )
        raise UserError(f"{weights}: not the weights of {name}: {told}.")
    return build(source)


def open_weights(weights: str | os.PathLike, **options: Any) -> Source:
    """Opens any form of weights, once; `keras_vit.weights.load.build` makes a model of it.

    Args:
        weights: a run folder, or what `create` takes.
        **options: those of `keras_vit.weights.LoadOptions`; they go before what the catalog says.

    Raises:
        UserError: for weights that cannot be had or read.
    """
    path, told = locate(weights)
    return open_source(path, **{**told, **options})


def locate(weights: str | os.PathLike) -> tuple[str | Path, dict[str, Any]]:
    """A local path for any form of weights, and what is known about them.

    Args:
        weights: a run folder, or what `create` takes.

    Returns:
        The path, and arguments of `load_model` for it.

    Raises:
        UserError: for weights that cannot be had.
    """
    text = os.fspath(weights)
    check_named(text)
    if (run := RunFolder(Path(text))).exists:
        return run.model_file, {}
    if text in CATALOG:
        entry = CATALOG[text]
        return fetch(entry.url), dict(entry.options)
    if text.startswith(("http://", "https://")):
        return fetch(text), {}
    if text.startswith("hf:"):
        return fetch_repository(text), {}
    return text, {}
