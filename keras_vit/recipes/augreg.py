# SPDX-License-Identifier: MIT
"""How to train your ViT? Data, augmentation and regularisation (arXiv 2106.10270)."""

import dataclasses

from keras_vit.config import ViTConfig
from keras_vit.errors import unknown
from keras_vit.recipes.schema import Augmentation, Classify, Data, Optimizer, Recipe, Schedule

# name: layers and magnitude of RandAugment (none for 0 layers), p of MixUp.
LEVELS = {
    "none": (0, 0, 0.0),
    "light1": (2, 0, 0.0),
    "light2": (2, 10, 0.2),
    "medium1": (2, 15, 0.2),
    "medium2": (2, 15, 0.5),
    "strong1": (2, 20, 0.5),
    "strong2": (2, 20, 0.8),
}
# The level that did best on ImageNet for each model.
BEST = {
    "Ti/16": "light1",
    "S/32": "medium1",
    "S/16": "medium2",
    "B/32": "medium2",
    "B/16": "medium2",
    "L/16": "medium2",
}


def augreg() -> Recipe:
    """ViT-S/16 on ImageNet with the augmentation that suited it best (arXiv 2106.10270).

        keras-vit train tfds:imagenet2012 --recipe augreg
        keras-vit train tfds:imagenet2012 --recipe augreg_light1 --set model=Ti/16

    Adam (0.9, 0.999), batch 4096, rate 1e-3, cosine, 10,000 steps of warm-up, clipping at 1, 300
    epochs, crops of 5 to 100 % and flips, sigmoid loss with the bias of the head at -6.9. Weight
    decay 0.1 or 0.03; dropout and stochastic depth both 0 or both 0.1: here 0.1 and 0. `BEST` has
    the level of each model, `augreg_LEVEL` the recipe. Hardware: TPUv3; no single number was
    published for this setting.
    """
    return dataclasses.replace(at_level(BEST["S/16"]), name="augreg")


def augreg_none() -> Recipe:
    """AugReg, level none: crops and flips alone (arXiv 2106.10270)."""
    return at_level("none")


def augreg_light1() -> Recipe:
    """AugReg, level light1: RandAugment (2, 0) (arXiv 2106.10270)."""
    return at_level("light1")


def augreg_light2() -> Recipe:
    """AugReg, level light2: RandAugment (2, 10), MixUp 0.2 (arXiv 2106.10270)."""
    return at_level("light2")


def augreg_medium1() -> Recipe:
    """AugReg, level medium1: RandAugment (2, 15), MixUp 0.2 (arXiv 2106.10270)."""
    return at_level("medium1")


def augreg_medium2() -> Recipe:
    """AugReg, level medium2: RandAugment (2, 15), MixUp 0.5 (arXiv 2106.10270)."""
    return at_level("medium2")


def augreg_strong1() -> Recipe:
    """AugReg, level strong1: RandAugment (2, 20), MixUp 0.5 (arXiv 2106.10270)."""
    return at_level("strong1")


def augreg_strong2() -> Recipe:
    """AugReg, level strong2: RandAugment (2, 20), MixUp 0.8 (arXiv 2106.10270)."""
    return at_level("strong2")


def at_level(level: str, model: str = "S/16") -> Recipe:
    """The recipe of AugReg on ImageNet with one of its levels of augmentation.

    Args:
        level: a key of `LEVELS`.
        model: a published size.
    """
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    layers, magnitude, mixup = LEVELS[level]
    augmentation = Augmentation(crop="inception", min_area=0.05, flip=True, mixup=mixup)
    if layers:
        augmentation = dataclasses.replace(
            augmentation, policy="randaugment", layers=layers, magnitude=magnitude
        )
    return Recipe(
        name=f"augreg_{level}",
        model=ViTConfig.of(model, activation="gelu_tanh", head_bias=-6.9),
        epochs=300,
        batch_size=4096,
        data=Data(source="tfds:imagenet2012", validation=0.01),
        augmentation=augmentation,
        objective=Classify(loss="sigmoid"),
        optimizer=Optimizer(learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0),
        schedule=Schedule(kind="cosine", warmup="10000 steps"),
    )
