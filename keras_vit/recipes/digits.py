# SPDX-License-Identifier: MIT
"""Handwritten digits of 8 x 8 pixels: the run that needs nothing but the package."""

from keras_vit.config import ViTConfig
from keras_vit.recipes.objectives import Classify
from keras_vit.recipes.schema import Augmentation, Data, Optimizer, Recipe, Schedule


def digits() -> Recipe:
    """1,797 real handwritten digits, bundled with the package.

    keras-vit train
    """
    return Recipe(
        name="digits",
        model=ViTConfig(
            image_size=(8, 8),
            channels=1,
            num_classes=10,
            patch_size=(4, 4),
            width=64,
            depth=4,
            mlp_dim=128,
            num_heads=8,
        ),
        epochs=60,
        batch_size=64,
        data=Data(source="digits"),
        augmentation=Augmentation(crop="pad", pad=1, mixup=0.2),
        objective=Classify(label_smoothing=0.1),
        optimizer=Optimizer(learning_rate=2e-3, weight_decay=0.5),
        schedule=Schedule(warmup="5 epochs"),
    )
