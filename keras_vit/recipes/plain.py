# SPDX-License-Identifier: MIT
"""Better plain ViT baselines for ImageNet-1k (arXiv 2205.01580)."""

import dataclasses

from keras_vit.config import ViTConfig
from keras_vit.recipes.schema import Augmentation, Data, Optimizer, Recipe, Schedule


def plain_s16_90() -> Recipe:
    """ViT-S/16 on ImageNet, 90 epochs (arXiv 2205.01580). Published: 76.5 %.

        keras-vit train tfds:imagenet2012 --recipe plain_s16_90

    Average of the tokens, sincos2d positions, one linear head, no dropout; Adam, batch 1024, rate
    1e-3, cosine, 10,000 steps of warm-up, clipping at 1, RandAugment (2, 10), MixUp 0.2, crops and
    flips. big_vision's decay of 1e-4 is a product with the rate of 1e-3: 0.1 here. It keeps the
    first moment in bfloat16, this in float32. Published: 6 to 7 hours on a TPUv3-8.
    """
    return Recipe(
        name="plain_s16_90",
        model=ViTConfig.of(
            "S/16", activation="gelu_tanh", class_token=False, position="sincos2d", pool="average"
        ),
        epochs=90,
        batch_size=1024,
        data=Data(source="tfds:imagenet2012", crop=0.875, validation=0.01),
        augmentation=Augmentation(
            crop="inception",
            min_area=0.05,
            flip=True,
            policy="randaugment",
            layers=2,
            magnitude=10.0,
            mixup=0.2,
        ),
        optimizer=Optimizer(learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0),
        schedule=Schedule(kind="cosine", warmup="10000 steps"),
    )


def plain_s16_150() -> Recipe:
    """ViT-S/16 on ImageNet, 150 epochs (arXiv 2205.01580)."""
    return dataclasses.replace(plain_s16_90(), name="plain_s16_150", epochs=150)


def plain_s16_300() -> Recipe:
    """ViT-S/16 on ImageNet, 300 epochs (arXiv 2205.01580). Published: 80.0 %."""
    return dataclasses.replace(plain_s16_90(), name="plain_s16_300", epochs=300)
