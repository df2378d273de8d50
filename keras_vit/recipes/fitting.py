# SPDX-License-Identifier: MIT
"""The rule by which fine-tuning fits itself to a checkpoint and to the images.

It fills in what a recipe with `by_rule` leaves as None; what is set stays.

* Image size: the checkpoint's own up to 16 x 16 patches. Of a finer grid, as many patches as the
  images have detail for (their shorter side over a patch), at least 16 and at most 24 a side, which
  is the paper's fine-tuning at 384 pixels (arXiv 2010.11929); never more than its own.
* Learning rate of AdamW: 5e-4 up to a width of 192, and in inverse proportion to it above, as
  Adam's best rate for wide matrices falls (arXiv 2203.03466, table 3): 2.5e-4 for S, 1.25e-4 for B.
  Ten times that for LoRA adapters.
* Layer decay: 0.75 up to 12 blocks, as MAE and BEiT fine-tune B (arXiv 2111.06377, 2106.08254); of
  a deeper model the root that gives its first layer the rate which it has in one of 12: 0.86 for L.
  None for LoRA, whose frozen kernels cannot forget.
* Epochs: 2,000 / sqrt(images), from 5 to 100, of at most 10,000 updates.
* The head alone for the first tenth, where it is new; then the other rates grow from 0 over as long
  again. A head of zeros sends no gradient to the backbone, and one of a few steps sends noise.

Without a checkpoint: 100 epochs or 10,000 updates at 5e-4, one rate for all layers.
"""

import dataclasses
import math
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.recipes.schema import Recipe

_MOST_UPDATES = 10_000
_MOST_EPOCHS, _LEAST_EPOCHS = 100, 5
_RATE, _RATE_WIDTH = 5e-4, 192
_LORA_RATE = 10  # times the rate of the weights themselves
_DECAY, _DECAY_DEPTH = 0.75, 12
_COARSE, _FINE = 16, 24  # patches along the shorter side
_HEAD_FIRST = "0.1"


@dataclasses.dataclass(frozen=True)
class Situation:
    """What the rule looks at.

    Attributes:
        config: of the model in the checkpoint, at its own size; None without a checkpoint.
        images: examples to train on.
        side: typical length in pixels of the shorter side of the images.
        updates_per_epoch: of the weights; not whole where gradients are accumulated.
        new_head: whether the head starts anew.
    """

    config: ViTConfig | None
    images: int
    side: int
    updates_per_epoch: float
    new_head: bool

    def __str__(self) -> str:
        """In words, of a situation with a checkpoint."""
        height, width = self.config.image_size
        return (
            f"{self.images:,} images of about {self.side} pixels, and a checkpoint of "
            f"{self.config.depth} blocks of width {self.config.width} for {height} x {width}"
        )


def fit(recipe: Recipe, situation: Situation) -> tuple[Recipe, dict[str, object]]:
    """Fills in what a recipe leaves to the rule.

    Args:
        recipe: what to train; one without `by_rule` stays as it is.
        situation: what it starts from, and on what.

    Returns:
        The recipe, and the fields that were chosen, as `--set` names them.
    """
    if not recipe.by_rule:
        return recipe, {}
    optimizer, schedule = recipe.optimizer, recipe.schedule
    chosen: dict[str, object] = {}
    if situation.config is not None and recipe.model is None and recipe.image_size is None:
        chosen["image_size"] = image_size_for(situation.config, situation.side)
    if optimizer.learning_rate is None:
        chosen["optimizer.learning_rate"] = learning_rate_for(situation.config, recipe.lora)
    if optimizer.layer_decay is None and situation.config is not None:
        chosen["optimizer.layer_decay"] = layer_decay_for(situation.config, recipe.lora)
    if schedule.head_first is None:
        chosen["schedule.head_first"] = head_first_for(situation, recipe.lora)
    if recipe.epochs is None:
        chosen["epochs"] = epochs_for(recipe, situation)
    return _with(recipe, chosen), chosen


def image_size_for(config: ViTConfig, side: int) -> tuple[int, int]:
    """Height and width in pixels at which a checkpoint is fine-tuned.

    Args:
        config: of the checkpoint, at its own size.
        side: typical length in pixels of the shorter side of the images.
    """
    short = min(config.grid)
    # A table of relative positions belongs to one grid.
    if short <= _COARSE or config.relative_position_bias:
        return config.image_size
    cell = min(config.image_size) / short  # pixels of a patch
    wanted = min(short, _FINE, max(_COARSE, math.ceil(side / cell)))
    height, width = (
        pixels // cells * round(cells * wanted / short)
        for pixels, cells in zip(config.image_size, config.grid, strict=True)
    )
    return height, width


def learning_rate_for(config: ViTConfig | None, lora: int | None = None) -> float:
    """The highest learning rate, in three digits."""
    if config is None:
        return _RATE
    rate = _RATE * min(1.0, _RATE_WIDTH / config.width) * (_LORA_RATE if lora else 1)
    return float(f"{rate:.3g}")


def layer_decay_for(config: ViTConfig, lora: int | None = None) -> float:
    """By how much the rate falls from layer to layer towards the pixels."""
    if lora:
        return 1.0
    layers = max(config.depth, _DECAY_DEPTH) + 1  # below the head
    return round(_DECAY ** ((_DECAY_DEPTH + 1) / layers), 2)


def head_first_for(situation: Situation, lora: int | None = None) -> str:
    """For how long the head is trained alone; see `Schedule.head_first`."""
    useful = situation.config is not None and situation.new_head and not lora
    return _HEAD_FIRST if useful else "0 steps"


def epochs_for(recipe: Recipe, situation: Situation) -> int:
    """Passes over the images; those of `steps`, where the recipe has them."""
    per_epoch = situation.updates_per_epoch
    if recipe.steps is not None:
        return max(1, round(recipe.steps / per_epoch))
    epochs = _MOST_EPOCHS
    if situation.config is not None:
        wanted = round(2_000 / math.sqrt(situation.images))
        epochs = max(_LEAST_EPOCHS, min(_MOST_EPOCHS, wanted))
    return max(1, min(epochs, round(_MOST_UPDATES / per_epoch)))


def _with(recipe: Recipe, chosen: dict[str, object]) -> Recipe:
    """A recipe with fields of its own, of its optimizer and of its schedule changed."""
    changes: dict[str, dict[str, Any]] = {"": {}, "optimizer": {}, "schedule": {}}
    for name, value in chosen.items():
        part, _, field = name.rpartition(".")
        changes[part][field] = value
    return dataclasses.replace(
        recipe,
        optimizer=dataclasses.replace(recipe.optimizer, **changes["optimizer"]),
        schedule=dataclasses.replace(recipe.schedule, **changes["schedule"]),
        **changes[""],
    )
