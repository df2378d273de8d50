# SPDX-License-Identifier: MIT
"""What a run does that depends on its objective; everything else is the same for all of them."""

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vit.analysis import reconstruct
from keras_vit.data import ImageSet, evaluation_batches, load
from keras_vit.data.by_name import load_unlabelled
from keras_vit.data.dataset import split_batches
from keras_vit.deploy.export import export_and_check
from keras_vit.errors import UserError
from keras_vit.export import Metadata
from keras_vit.files import replacing, size_in_bytes
from keras_vit.models import MaskedAutoencoder, config_of, num_visible, vit
from keras_vit.models.keras_file import load_keras
from keras_vit.progress import step
from keras_vit.recipes import Recipe
from keras_vit.training.distillation import Distiller, open_teacher
from keras_vit.training.objectives import check_task, make_loss, make_metrics
from keras_vit.training.teacher import check_teacher

if TYPE_CHECKING:
    from keras_vit.training.loop import Job

_EXPORTS = ("saved_model", "litert")  # what needs no extra
AUTOENCODER = "masked_autoencoder.keras"
_EXAMPLES = 8  # test images of which a run shows what becomes of them


def metadata_of(recipe: Recipe, images: ImageSet) -> Metadata:
    """What a model file says of itself."""
    size, channels = recipe.model.image_size, recipe.model.channels
    return Metadata(recipe.name, images.classes, size, channels, recipe.data.crop, images.task)


class Classification:
    """Images in, classes out: `vit` itself is trained."""

    load: Callable[..., ImageSet] = staticmethod(load)

    def prepare(self, images: ImageSet) -> ImageSet:
        """What of the images is used."""
        return images

    def check(self, recipe: Recipe, images: ImageSet) -> None:
        """Raises a `UserError` for a completed recipe that cannot be carried out."""
        check_task(recipe.objective, images.task)

    def learner(self, model: keras.Model, recipe: Recipe, images: ImageSet) -> keras.Model:
        """What `fit` trains around a model of `vit`."""
        return model

    def compile_arguments(self, recipe: Recipe, images: ImageSet) -> dict[str, Any]:
        """Loss and metrics of the learner."""
        labels, classes = images.train.labels, len(images.classes)
        counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
        metrics = make_metrics(images.task, classes)
        return {"loss": make_loss(recipe.objective, counts), "metrics": metrics}

    def save(self, learner: keras.Model, path: Path) -> None:
        """Saves the weights in a float32 model without optimizer, which is what a user shares."""
        _save(_float32(learner), path)

    def deliver(self, model: keras.Model, job: "Job") -> dict:
        """Measures the model and its exports on the test split; returns the report of that."""
        images, recipe = job.images, job.recipe
        size, channels, crop = recipe.model.image_size, recipe.model.channels, recipe.data.crop
        checked = export_and_check(
            model,
            job.best.path,
            metadata_of(recipe, images),
            job.folder / "export",
            split_batches(images.test, size, channels, crop, recipe.part_size),
            images.test.labels,
            formats=_formats(),
            name_of=images.test.name_of,
        )
        exports = [{**e, "path": f"export/{e['path']}"} for e in checked["exports"]]
        return {**checked, "exports": exports}

    def forward_flops(self, recipe: Recipe) -> int:
        """Floating-point operations of one image's forward pass in training."""
        return recipe.model.forward_flops()

    def loss_of_chance(self, recipe: Recipe, images: ImageSet) -> float | None:
        """Loss of a model that knows nothing, where it is known."""
        classes = len(images.classes)
        if recipe.objective.loss == "softmax":
            return math.log(classes)
        return classes * math.log(2)


class Distillation(Classification):
    """Classification with a teacher beside; the student is what is kept."""

    def check(self, recipe, images):
        super().check(recipe, images)
        check_teacher(recipe, images.classes)

    def learner(self, model, recipe, images):
        teacher, compiles = open_teacher(recipe, images.classes)
        learner = Distiller(model, teacher, recipe.objective)
        learner.supports_jit = compiles
        return learner

    def compile_arguments(self, recipe, images):
        return {"metrics": make_metrics()}  # the loss is the distiller's own

    def save(self, learner, path):
        super().save(learner.student, path)

    def loss_of_chance(self, recipe, images):
        return math.log(len(images.classes)) if recipe.objective.hard else None


class Reconstruction(Classification):
    """Masked autoencoding: labels are not used, and the encoder without a head is kept."""

    load = staticmethod(load_unlabelled)

    def prepare(self, images):
        return images.without_labels()

    def check(self, recipe, images):
        num_visible(recipe.model, recipe.objective.mask)
        if recipe.progressive:
            raise UserError(
                "progressive: a masked autoencoder draws its masks and paints its patches at one "
                "size. Set progressive=(), or fine-tune its encoder with it."
            )

    def learner(self, model, recipe, images):
        plan = recipe.objective
        return MaskedAutoencoder(
            model,
            plan.mask,
            plan.decoder_width,
            plan.decoder_depth,
            plan.decoder_num_heads,
            plan.normalize,
            recipe.seed,
        )

    def compile_arguments(self, recipe, images):
        return {}

    def save(self, learner, path):
        """Saves the encoder, and beside it the whole autoencoder."""
        encoder = keras.saving.serialize_keras_object(_float32(learner.encoder))
        whole = MaskedAutoencoder.from_config(
            {**learner.get_config(), "encoder": encoder, "dtype": "float32"}
        )
        whole.set_weights(learner.get_weights())
        _save(whole, path.with_name(AUTOENCODER))
        super().save(learner.encoder, path)

    def deliver(self, model, job):
        learner = load_keras(job.folder / AUTOENCODER)
        learner.compile()
        config, recipe = job.recipe.model, job.recipe
        batches = evaluation_batches(
            job.images.test,
            0,
            config.image_size,
            config.channels,
            recipe.part_size,
            recipe.data.crop,
        )
        path = job.best.path
        _keep_examples(learner, job)
        with step(f"testing on {len(job.images.test):,} images"):
            loss = float(learner.evaluate(batches, verbose=0))
        return {
            "test_loss": loss,
            "keras": {"path": path.name, "bytes": size_in_bytes(path)},
            "exports": [],
        }

    def forward_flops(self, recipe):
        config, plan = recipe.model, recipe.objective
        width = plan.decoder_width
        visible = num_visible(config, plan.mask)
        # The decoder's head is as large as the projection of patches in a model of its shape.
        decoder = dataclasses.replace(
            config,
            width=width,
            depth=plan.decoder_depth,
            mlp_dim=4 * width,
            num_heads=plan.decoder_num_heads,
        )
        between = 2 * (config.num_prefix_tokens + visible) * config.width * width
        return config.forward_flops(visible) + between + decoder.forward_flops()

    def loss_of_chance(self, recipe, images):
        return None


_TASKS = {
    "classify": Classification(),
    "distill": Distillation(),
    "reconstruct": Reconstruction(),
}


def task_of(recipe: Recipe) -> Classification:
    """The task of a recipe's objective."""
    return _TASKS[recipe.objective.kind]


def _float32(model: keras.Model) -> keras.Model:
    plain = vit(config_of(model))
    plain.set_weights(model.get_weights())
    return plain


def _save(model: keras.Model, path: Path) -> None:
    with replacing(path) as temporary:
        model.save(temporary)


def _keep_examples(learner: MaskedAutoencoder, job: "Job") -> None:
    """Writes what a few test images become, for `keras_vit.reports.draw_reconstruction`."""
    split, config = job.images.test, job.recipe.model
    places = np.linspace(0, len(split) - 1, min(_EXAMPLES, len(split))).astype(int)
    size, channels = config.image_size, config.channels
    (images,) = split_batches(split.take(places), size, channels, job.recipe.data.crop, _EXAMPLES)
    masked, reconstructed = reconstruct(learner, images)
    pictures = {"original": images, "masked": masked, "reconstructed": reconstructed}
    pictures = {name: np.round(pixels).astype("uint8") for name, pixels in pictures.items()}
    with replacing(job.folder / "reconstruction.npz") as temporary:
        np.savez_compressed(temporary, **pictures)


def _formats() -> tuple[str, ...]:
    """The exports of a run, where this backend of Keras can write them."""
    if keras.backend.backend() == "tensorflow":
        return _EXPORTS
    print(
        f"note: the {keras.backend.backend()} backend writes no exports; "
        "`keras-vit export` does on TensorFlow",
        file=sys.stderr,
    )
    return ()
