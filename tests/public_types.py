# SPDX-License-Identifier: MIT
"""What a type checker tells those who use the public names; `.ci/checks/types` runs it over this.

Never run: mypy says where a type is not the one that is claimed here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import keras_vit
from keras_vit import Predictor, ViT, ViTConfig
from keras_vit.data import Audit, ImageSet
from keras_vit.predictor import Prediction
from keras_vit.recipes import Recipe


def models(run: Path) -> None:
    config = ViTConfig.of("S/16", image_size=384, num_classes=10)
    assert_type(config, ViTConfig)
    assert_type(config.grid, tuple[int, int])
    assert_type(config.num_parameters, int)
    assert_type(config.forward_flops(), int)
    model = keras_vit.vit(config)
    assert_type(model, ViT)
    assert_type(model.config, ViTConfig)
    assert_type(keras_vit.config_of(model), ViTConfig)
    assert_type(keras_vit.create("S/16", weights="S_16.npz"), ViT)
    keras_vit.layers.Patches(16)
    keras_vit.layers.PatchEncoder(64, (8, 8), register_tokens=4)
    keras_vit.layers.TransformerBlock(4, 256, stochastic_depth=0.1)
    keras_vit.load_model(run, num_classes=3)


def mistakes() -> None:
    """Each is one; mypy complains where it finds that nothing is wrong with it."""
    ViTConfig(patch_size="16")  # type: ignore[arg-type]
    ViTConfig(heads=3)  # type: ignore[call-arg]
    keras_vit.vit("S/16")  # type: ignore[arg-type]
    keras_vit.layers.TransformerBlock(4)  # type: ignore[call-arg]
    keras_vit.recipes.get(3)  # type: ignore[arg-type]
    keras_vit.train("digits").modle  # type: ignore[attr-defined]  # noqa: B018
    keras_vit.vitt  # type: ignore[attr-defined]  # noqa: B018


def training(folder: Path) -> None:
    recipe = keras_vit.recipes.get("finetune")
    assert_type(recipe, Recipe)
    assert_type(keras_vit.recipes.override(recipe, "epochs=3"), Recipe)
    images, audit = keras_vit.data.load(str(folder))
    assert_type(images, ImageSet)
    assert_type(audit, Audit | None)
    run = keras_vit.train(recipe, data=images)
    assert_type(run, keras_vit.training.Run)
    assert_type(run.recipe, Recipe)


def predicting(folder: Path) -> None:
    predictor = Predictor.open(folder)
    assert_type(predictor, Predictor)
    assert_type(predictor.predict("cat.jpg"), Prediction)
    assert_type(predictor.predict(["cat.jpg", "dog.jpg"]), Iterator[Prediction])
