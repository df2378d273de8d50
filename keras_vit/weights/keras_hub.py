# SPDX-License-Identifier: MIT
"""Presets of KerasHub's ViT, read by KerasHub itself."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.formats import Checkpoint, Spec
from keras_vit.weights.formats.sidecar import read_json
from keras_vit.weights.naming import bind, read


def open_preset(folder: Path) -> tuple[ViTConfig, Iterator[tuple[str, np.ndarray]]]:
    """Opens a folder that `save_to_preset` wrote.

    Args:
        folder: of a `ViTImageClassifier` or a `ViTBackbone`.

    Returns:
        The configuration, and (our path, array) for each variable.

    Raises:
        UserError: without keras-hub, for another model, or for options that ours lacks.
    """
    kind = read_json(folder / "config.json").get("class_name")
    if kind != "ViTBackbone":
        raise UserError(f"{folder}: expected a KerasHub preset of a ViTBackbone, received {kind}.")
    try:
        import keras_hub
    except ImportError as error:
        raise UserError(
            f"{folder}: KerasHub presets need KerasHub ({error}). Type `pip install keras-hub`."
        ) from None
    if (folder / "task.json").is_file():
        model = keras_hub.models.ViTImageClassifier.from_preset(str(folder), preprocessor=None)
        backbone = model.backbone
    else:
        model = backbone = keras_hub.models.ViTBackbone.from_preset(str(folder))
    config = _configuration(folder, backbone, model)
    variables = {variable.path: variable for variable in model.weights}
    checkpoint = Checkpoint(
        str(folder),
        {name: Spec(tuple(v.shape), str(v.dtype)) for name, v in variables.items()},
        lambda name: variables[name].numpy(),
    )
    return config, read(bind("keras_hub", config), checkpoint, config)


def _configuration(folder: Path, backbone, model) -> ViTConfig:
    values = backbone.get_config()
    task = model.get_config() if model is not backbone else {}
    pool = {"token": "token", "gap": "average"}[task.get("pooling", "token")]
    class_token = values.get("use_class_token", True)
    biases = ("use_mha_bias", "use_mlp_bias", "use_patch_bias")
    if not all(values.get(name, True) for name in biases):
        raise UserError(f"{folder}: expected a ViT with biases, received {values}.")
    if class_token != (pool == "token"):
        raise UserError(
            f"{folder}: KerasHub averages the class token with the patches here; the model of "
            "this package reads either the one or the others."
        )
    *image_size, channels = values["image_shape"]
    return ViTConfig(
        image_size=tuple(image_size),
        channels=channels,
        num_classes=task.get("num_classes", 0),
        patch_size=tuple(np.broadcast_to(values["patch_size"], 2).tolist()),
        width=values["hidden_dim"],
        depth=values["num_layers"],
        mlp_dim=values["mlp_dim"],
        num_heads=values["num_heads"],
        class_token=class_token,
        pool=pool,
        representation_size=task.get("intermediate_dim") or 0,
        norm_epsilon=values.get("layer_norm_epsilon", 1e-6),
    )
