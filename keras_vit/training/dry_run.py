# SPDX-License-Identifier: MIT
"""One train step of a recipe, to see that it would run and what it would cost."""

import dataclasses

import numpy as np

from keras_vit.config.costs import training_bytes
from keras_vit.data import ImageSet
from keras_vit.progress import step
from keras_vit.recipes import Recipe
from keras_vit.training.fit import first_batch, make_model
from keras_vit.training.objectives import objective_of
from keras_vit.training.options import RunOptions
from keras_vit.training.plan import Plan, make_plan
from keras_vit.training.trained_part import count_trained, parameters_text


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What one step showed.

    Attributes:
        plan: the run as it would be; its folder is not known yet.
        images: float32 `(batch, height, width, channels)`, 0 to 255, as the first step sees them.
        labels: float32 `(batch, classes)`; one-hot, or shares where images are mixed.
        loss: of that batch, before any weight moved.
        loss_of_chance: of a model that knows nothing; the loss should be close to it. None where it
            is not known.
    """

    plan: Plan
    images: np.ndarray
    labels: np.ndarray
    loss: float
    loss_of_chance: float | None

    @property
    def text(self) -> str:
        """The plan and the step, line by line."""
        rows = {**_size_rows(self.plan), **_cost_rows(self.plan), "loss": self._loss_text()}
        lines = [f"{name:<10}{value}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.plan.images.notes)])

    def _loss_text(self) -> str:
        known = self.loss_of_chance is not None
        chance = f"; chance is {self.loss_of_chance:.4f}" if known else ""
        return f"{self.loss:.4f} in the first step{chance}"


def dry_run(
    recipe: Recipe, data: ImageSet | None = None, options: RunOptions | None = None
) -> DryRun:
    """Builds everything and makes one train step; writes nothing.

    Args:
        recipe: what would be trained.
        data, options: see `keras_vit.train`.
    """
    plan = make_plan(recipe, None, data, options)
    with step("making one step"):
        images, labels = first_batch(plan)
        with plan.engine.running():
            with plan.engine.building():
                model = make_model(plan)
            loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
    chance = objective_of(recipe).loss_of_chance(plan.recipe, plan.images)
    return DryRun(plan, images, labels, float(loss), chance)


def _size_rows(plan: Plan) -> dict[str, str]:
    """How many images, steps and parameters."""
    images, config = plan.images, plan.recipe.model
    classes = f", {len(images.classes)} classes" if images.classes else ""
    return {
        "data": f"{images.name}{classes}: {len(images.train):,} images "
        f"to train, {len(images.validation):,} to validate, {len(images.test):,} to test",
        "steps": f"{plan.recipe.epochs} epochs of {plan.steps_per_epoch:,} steps of "
        f"{plan.batch_size} images: {plan.steps:,}",
        "sizes": "; ".join(map(str, plan.phases)),
        "model": f"{parameters_text(plan.recipe)}, {config.num_tokens} tokens, {plan.precision}",
        **({"devices": plan.engine.text} if plan.engine.text else {}),
    }


def _cost_rows(plan: Plan) -> dict[str, str]:
    """How much arithmetic and memory."""
    full_size = plan.recipe.model.image_size
    an_image = sum(
        (phase.end - phase.first) * _forward_flops(plan, phase.image_size) for phase in plan.phases
    )
    in_all = 3 * an_image * plan.steps_per_epoch * plan.batch_size
    return {
        "forward": f"{_forward_flops(plan, full_size) / 1e9:,.3g} GFLOPs for an image "
        "(a multiplication with its addition is 2)",
        "training": f"{in_all / 1e9:,.0f} GFLOPs in all (3 forward passes for each image of "
        "each epoch)",
        "memory": f"roughly {_memory_text(plan)} for variables and what backpropagation keeps",
    }


def _forward_flops(plan: Plan, image_size: tuple[int, int]) -> int:
    model = dataclasses.replace(plan.recipe.model, image_size=image_size)
    recipe = dataclasses.replace(plan.recipe, model=model)
    return objective_of(recipe).forward_flops(recipe)


def _memory_text(plan: Plan) -> str:
    """Bytes of a train step for a reader: "3.1 MB"."""
    number_bytes = 2 if plan.precision == "mixed_bfloat16" else 4
    slots = 2 if plan.recipe.optimizer.ema is None else 3  # of the optimizer, for each weight
    trained = count_trained(plan.recipe)
    remat = plan.recipe.remat
    count = training_bytes(plan.recipe.model, plan.batch_size, slots, number_bytes, trained, remat)
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
