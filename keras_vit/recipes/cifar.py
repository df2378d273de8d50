# SPDX-License-Identifier: MIT
"""Photographs of 32 x 32 pixels in ten classes."""

from keras_vit.config import ViTConfig
from keras_vit.recipes.objectives import Classify
from keras_vit.recipes.schema import Augmentation, Data, Optimizer, Recipe, Schedule


def cifar10_seed() -> Recipe:
    """CIFAR-10 with a model of 119 thousand parameters.

        keras-vit train tfds:cifar10 --recipe cifar10_seed

    The shape (patch 4, width 48, 4 blocks of 4 heads) is that of a well-known teaching notebook,
    which reached 65.8 % with Adam at a constant 1e-2 and no augmentation, its training loss far
    below its test loss. The plan here is today's: flips and padded crops, AdamW, warm-up and
    cosine, clipping.
    """
    return Recipe(
        name="cifar10_seed",
        model=ViTConfig(
            image_size=32,
            num_classes=10,
            patch_size=4,
            width=48,
            depth=4,
            mlp_width=192,
            heads=4,
            pixel_mean=(0.4914, 0.4822, 0.4465),
            pixel_std=(0.2470, 0.2435, 0.2616),
        ),
        epochs=100,
        batch_size=128,
        data=Data(source="tfds:cifar10"),
        augmentation=Augmentation(crop="pad", pad=4, flip=True),
        objective=Classify(label_smoothing=0.1),
        optimizer=Optimizer(learning_rate=2e-3, weight_decay=0.05),
        schedule=Schedule(warmup_epochs=5),
    )
