# SPDX-License-Identifier: MIT
"""One train step of a recipe, to see that it would run and what it would cost."""

import dataclasses
from collections.abc import Collection

import numpy as np

from keras_vit.data import ImageSet
from keras_vit.models.complexity import training_bytes
from keras_vit.progress import step
from keras_vit.recipes import Phase, Recipe
from keras_vit.training.loop import Job, first_batch, make_job, make_model
from keras_vit.training.starting import check_view


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """What one step showed.

    Attributes:
        job: the run as it would be.
        images: float32 `(batch, height, width, channels)`, 0 to 255, as the first step sees them.
        labels: float32 `(batch, classes)`; one-hot, or shares where images are mixed.
        loss: of that batch, before any weight moved.
        loss_of_chance: of a model that knows nothing; the loss should be close to it. None where it
            is not known.
    """

    job: Job
    images: np.ndarray
    labels: np.ndarray
    loss: float
    loss_of_chance: float | None

    @property
    def text(self) -> str:
        """The plan and the step, line by line."""
        job, images = self.job, self.job.images
        recipe, config = job.recipe, job.recipe.model
        seen = job.task.forward_flops(recipe)
        an_image = sum((p.end - p.first) * _forward_flops(job, p) for p in job.phases)
        in_all = 3 * an_image * job.steps_per_epoch * job.batch_size
        number_bytes = 2 if job.precision == "mixed_bfloat16" else 4
        slots = 2 if recipe.optimizer.ema is None else 3
        memory = training_bytes(config, job.batch_size, slots, number_bytes)
        known = self.loss_of_chance is not None
        chance = f"; chance is {self.loss_of_chance:.4f}" if known else ""
        classes = f", {len(images.classes)} classes" if images.classes else ""
        rows = {
            "data": f"{images.name}{classes}: {len(images.train):,} images "
            f"to train, {len(images.validation):,} to validate, {len(images.test):,} to test",
            "steps": f"{recipe.epochs} epochs of {job.steps_per_epoch:,} steps of "
            f"{job.batch_size} images: {job.steps:,}",
            "sizes": "; ".join(map(str, job.phases)),
            "model": f"{config.num_parameters:,} parameters, {config.num_tokens} tokens, "
            f"{job.precision}",
            "forward": f"{seen / 1e9:,.3g} GFLOPs for an image (a multiplication with its addition "
            "is 2)",
            "training": f"{in_all / 1e9:,.0f} GFLOPs in all (3 forward passes for each image of "
            "each epoch)",
            "memory": f"roughly {_size_text(memory)} for variables and what backpropagation keeps",
            "loss": f"{self.loss:.4f} in the first step{chance}",
        }
        return "\n".join(
            [*(f"{name:<10}{value}" for name, value in rows.items())]
            + [f"note: {note}" for note in images.notes]
        )


def _forward_flops(job: Job, phase: Phase) -> int:
    model = dataclasses.replace(job.recipe.model, image_size=phase.image_size)
    return job.task.forward_flops(dataclasses.replace(job.recipe, model=model))


def _size_text(count: float) -> str:
    """Bytes for a reader: "3.1 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def rehearse(
    recipe: Recipe, data: ImageSet | None = None, intended: Collection[str] = ()
) -> Rehearsal:
    """Builds everything and makes one train step; writes nothing.

    Args:
        recipe: what would be trained.
        data: see `keras_vit.train`.
        intended: see `Session`.
    """
    job = make_job(recipe, None, data)
    if recipe.model is not None:
        check_view(job.recipe, job.images, intended)
    with step("making one step"):
        images, labels = first_batch(job)
        loss = make_model(job).train_on_batch(images, labels, return_dict=True)["loss"]
    chance = job.task.loss_of_chance(job.recipe, job.images)
    return Rehearsal(job, images, labels, float(loss), chance)
