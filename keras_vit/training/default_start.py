# SPDX-License-Identifier: MIT
"""What a run starts from where nobody says it: of few images, the backbone of this package."""

import dataclasses
import sys

from keras_vit.data import ImageSet
from keras_vit.recipes import Classify, Recipe
from keras_vit.recipes.schema import RANDOM

BACKBONE = "drawn-mini"
FEW = 5_000  # images to train on; of more, random weights learn as much


def with_start(recipe: Recipe, images: ImageSet) -> Recipe:
    """The recipe with the start that was wanted, or that so few images need; says the second.

    Args:
        recipe: what to train; only one `by_rule` that has no model of its own and trains all of its
            weights is given a start.
        images: on what. Images in shades of grey and such without labels start from random weights.

    Returns:
        A recipe whose `init` is a checkpoint, or None for random weights.
    """
    if recipe.init == RANDOM:
        return dataclasses.replace(recipe, init=None)
    frozen = recipe.lora is not None or recipe.optimizer.freeze is not None
    decided = frozen or recipe.init is not None or recipe.model is not None or not recipe.by_rule
    classifies = isinstance(recipe.objective, Classify) and images.train.channels == 3
    if decided or not classifies or len(images.train) >= FEW:
        return recipe
    print(
        f"note: fewer than {FEW:,} images: starts from {BACKBONE}, which comes with this package "
        f"and has seen drawn images alone. Other weights do more: `keras-vit list weights`. For "
        f"random ones: --init {RANDOM}",
        file=sys.stderr,
    )
    return dataclasses.replace(recipe, init=BACKBONE)
