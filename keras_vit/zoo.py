# SPDX-License-Identifier: MIT
"""One call from a name to a model, with weights from anywhere."""

import os
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.config.variants import is_size, variant_names
from keras_vit.errors import UserError
from keras_vit.models import ViT, vit
from keras_vit.origins import say_restrictions
from keras_vit.run_folder import RunFolder
from keras_vit.weights.catalog import catalog, check_named, origin_of
from keras_vit.weights.download import fetch
from keras_vit.weights.hub import fetch_repository
from keras_vit.weights.load import build
from keras_vit.weights.source import Source, open_source

_SIZES = ("width", "depth", "mlp_dim", "num_heads", "resnet_stages")


def create(
    name: str | os.PathLike,
    *,
    weights: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    **options: Any,
) -> ViT:
    """Makes a Vision Transformer: of a published size, or that of a checkpoint.

        import keras_vit

        keras_vit.create("S/16", num_classes=5)  # random weights
        keras_vit.create("runs/photos", num_classes=0)  # from pixels to features

    A name of the catalog, as in `create("S/16-augreg-i21k", num_classes=5)`, is a published
    checkpoint with a new head.

    Every intermediate result has a name: `keras.Model(model.input, model.get_layer("block_05")
    .output)` gives the tokens after the sixth block.

    Args:
        name: a size and a patch size as `"B/16"`, `"R50+L/32"` (see `ViTConfig.of`); or what
            `weights` takes. A folder that is called like a size is `"./B/16"`.
        weights: for a size: None for random weights; a path that `load_model` reads; a run folder;
            a URL; `"hf:owner/name"`; or a name of the catalog, e.g. `"B/16-i21k"`. They have to be
            of that size.
        image_size: height and width in pixels. Default: that of the weights; 224 without.
        num_classes: outputs of the head, which is replaced where the weights have another number;
            0 for the representation, float32 `(batch, features)`: what `pool` gives, or the tanh
            layer after it. Default: that of the weights; 1000 without.
        **options: with weights, those of `keras_vit.weights.LoadOptions`; without, fields of
            `ViTConfig`.

    Returns:
        A model from pixels of 0 to 255 to logits, or to the representation.

    Raises:
        UserError: for an unknown name, weights that cannot be had, or weights of another size.
    """
    sizes = {"image_size": image_size, "num_classes": num_classes}
    if not is_size(os.fspath(name)):
        if weights is not None:
            raise UserError(
                f"weights={os.fspath(weights)!r}: {name} names weights already. Expected a size "
                "before it, as in create('S/16', weights=...), or the weights alone."
            )
        check_named(os.fspath(name), variant_names())
        return build(open_weights(name, **options, **sizes))
    name = os.fspath(name)
    if weights is None:
        given = {field: value for field, value in sizes.items() if value is not None}
        return vit(ViTConfig.of(name, **given, **options))
    source = open_weights(weights, **options, **sizes)
    _check_size(weights, source.config, name, "patch_size" in options)
    return build(source)


def _check_size(
    weights: str | os.PathLike, found: ViTConfig, name: str, any_patch_size: bool
) -> None:
    """Raises a `UserError` for weights of another size than the one that was named."""
    wanted = ViTConfig.of(name)
    fields = _SIZES if any_patch_size else (*_SIZES, "patch_size")
    told = ", ".join(
        f"{field} {getattr(found, field)} where {name} has {getattr(wanted, field)}"
        for field in fields
        if getattr(found, field) != getattr(wanted, field)
    )
    if told:
        raise UserError(f"{weights}: not the weights of {name}: {told}.")


def open_weights(weights: str | os.PathLike, **options: Any) -> Source:
    """Opens any form of weights, once; `keras_vit.weights.load.build` makes a model of it.

    Args:
        weights: a run folder, or what `create` takes.
        **options: those of `keras_vit.weights.LoadOptions`; they go before what the catalog says.

    Raises:
        UserError: for weights that cannot be had or read.
    """
    path, told = locate(weights)
    return open_located(weights, path, **{**told, **options})


def open_located(weights: str | os.PathLike, path: str | Path, **options: Any) -> Source:
    """`open_weights` for weights that `locate` has found; says what their licence forbids."""
    source = open_source(path, **options)
    source.named = origin_of(os.fspath(weights))
    say_restrictions(source.origins)
    return source


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
    told, sha256 = {}, ""
    if text in catalog():
        entry = catalog()[text]
        if entry.packaged is not None:
            return entry.packaged, dict(entry.options)
        text, told, sha256 = entry.at, dict(entry.options), entry.sha256
    if text.startswith(("http://", "https://")):
        return fetch(text, sha256=sha256), told
    if text.startswith("hf:"):
        return fetch_repository(text), told
    return text, told
