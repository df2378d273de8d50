# SPDX-License-Identifier: MIT
"""Presets of KerasHub's ViT, read by KerasHub itself: layers like ours under other names."""

from pathlib import Path

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.config_files import read_json
from keras_vit.weights.formats import Checkpoint, Spec
from keras_vit.weights.table import PATCHES_FLAX, UNBATCHED, Rule, flax_dense, row

_EMBEDDING = "vit_patching_and_embedding"
_BLOCK = "vit_encoder/transformer_block_{block1}"  # counted from 1


def _norm(ours: str, theirs: str) -> list[Rule]:
    return [row(f"{ours}/{leaf}", f"{theirs}/{leaf}") for leaf in ("gamma", "beta")]


_RULES: tuple[Rule, ...] = (
    row(
        "patch_encoder/projection/kernel",
        f"{_EMBEDDING}/patch_embedding/kernel",
        PATCHES_FLAX,
    ),
    row("patch_encoder/projection/bias", f"{_EMBEDDING}/patch_embedding/bias"),
    row("patch_encoder/class_embedding", f"{_EMBEDDING}/class_token"),
    row(
        "patch_encoder/position_embedding",
        f"{_EMBEDDING}/position_embedding/embeddings",
        UNBATCHED,
    ),
    *_norm("block_{block}/attention_norm", f"{_BLOCK}/ln_1"),
    *[
        rule
        for part in ("query", "key", "value", "attention_output")
        for rule in flax_dense(f"block_{{block}}/attention/{part}", f"{_BLOCK}/mha/{part}")
    ],
    *_norm("block_{block}/mlp_norm", f"{_BLOCK}/ln_2"),
    *flax_dense("block_{block}/mlp/hidden", f"{_BLOCK}/mlp/dense_1"),
    *flax_dense("block_{block}/mlp/output_projection", f"{_BLOCK}/mlp/dense_2"),
    *_norm("encoder_norm", "vit_encoder/ln"),
    *flax_dense("pre_logits", "pre_logits"),
    *flax_dense("head", "predictions"),
)


class KerasHub(Adapter):
    """A folder that `save_to_preset` of a `ViTImageClassifier` or a `ViTBackbone` wrote."""

    name = "keras_hub"
    dialects = {"keras_hub": _RULES}
    needs_keras = True

    def opens(self, path: Path) -> bool:
        return (path / "model.weights.h5").is_file() and (path / "config.json").is_file()

    def open(self, path: Path) -> tuple[Checkpoint, ViTConfig]:
        """Builds their model and takes its variables.

        Raises:
            UserError: without keras-hub, for another model, or for options that ours lacks.
        """
        kind = read_json(path / "config.json").get("class_name")
        if kind != "ViTBackbone":
            raise UserError(
                f"{path}: expected a KerasHub preset of a ViTBackbone, received {kind}."
            )
        try:
            import keras_hub
        except ImportError as error:
            raise UserError(
                f"{path}: KerasHub presets need KerasHub ({error}). Type `pip install keras-hub`."
            ) from None
        if (path / "task.json").is_file():
            model = keras_hub.models.ViTImageClassifier.from_preset(str(path), preprocessor=None)
            backbone = model.backbone
        else:
            model = backbone = keras_hub.models.ViTBackbone.from_preset(str(path))
        variables = {variable.path: variable for variable in model.weights}
        checkpoint = Checkpoint(
            str(path),
            {name: Spec(tuple(v.shape), str(v.dtype)) for name, v in variables.items()},
            lambda name: variables[name].numpy(),
        )
        return checkpoint, _configuration(path, backbone, model)


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
