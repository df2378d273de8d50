# SPDX-License-Identifier: MIT
"""To paint hidden patches (masked autoencoding, arXiv 2111.06377): labels are not used."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from keras_vit.analysis import reconstruct
from keras_vit.data import evaluation_batches
from keras_vit.data.by_name import load_unlabelled
from keras_vit.data.dataset import Split, split_batches
from keras_vit.errors import UserError
from keras_vit.files import replacing, size_in_bytes
from keras_vit.models import MaskedAutoencoder, num_visible
from keras_vit.models.keras_file import load_keras
from keras_vit.progress import step
from keras_vit.recipes import Recipe
from keras_vit.run_folder import RunFolder
from keras_vit.training.objectives.base import Objective, float32_copy, save_whole

_EXAMPLES = 8  # test images of which a run shows what becomes of them


class Reconstruction(Objective):
    """The autoencoder is trained; its encoder, which has no head, is what is kept."""

    def load(self, *args, **kwargs):
        return load_unlabelled(*args, **kwargs)

    def prepare(self, images):
        return images.without_labels()

    def check(self, recipe, images):
        num_visible(recipe.model, recipe.objective.mask)
        if recipe.lora is not None:
            raise UserError(
                "lora: adapts a trained model to a task, where a masked autoencoder trains a whole "
                "one. Set lora=none."
            )
        if recipe.progressive:
            raise UserError(
                "progressive: a masked autoencoder draws its masks and paints its patches at one "
                "size. Set progressive=(), or fine-tune its encoder with it."
            )

    def learner(self, model, recipe, images):
        objective = recipe.objective
        return MaskedAutoencoder(
            model,
            objective.mask,
            objective.decoder_width,
            objective.decoder_depth,
            objective.decoder_num_heads,
            objective.normalize,
            recipe.seed,
        )

    def compile_arguments(self, recipe, images):
        return {}  # the loss is the autoencoder's own

    def save(self, learner, path):
        """Saves the encoder, and next to it the whole autoencoder."""
        encoder = float32_copy(learner.encoder)
        whole = MaskedAutoencoder.from_config(
            {
                **learner.get_config(),
                "encoder": keras.saving.serialize_keras_object(encoder),
                "dtype": "float32",
            }
        )
        whole.set_weights(learner.get_weights())
        save_whole(whole, path.with_name(RunFolder.autoencoder_file.name))
        save_whole(encoder, path)

    def finish(self, model, recipe, images, run):
        learner, path = load_keras(run.autoencoder_file), run.model_file
        learner.compile()
        _keep_examples(learner, recipe, images.test, run.reconstruction_file)
        report = {
            "test_loss": _test_loss(learner, recipe, images.test),
            "keras": {"path": path.name, "bytes": size_in_bytes(path)},
            "exports": [],
        }
        return report, None

    def forward_flops(self, recipe):
        config, objective = recipe.model, recipe.objective
        width = objective.decoder_width
        visible = num_visible(config, objective.mask)
        # The decoder's head is as large as the projection of patches in a model of its shape.
        decoder = dataclasses.replace(
            config,
            width=width,
            depth=objective.decoder_depth,
            mlp_dim=4 * width,
            num_heads=objective.decoder_num_heads,
        )
        between = 2 * (config.num_prefix_tokens + visible) * config.width * width
        return config.forward_flops(visible) + between + decoder.forward_flops()

    def loss_of_chance(self, recipe, images):
        return None


def _test_loss(learner: MaskedAutoencoder, recipe: Recipe, split: Split) -> float:
    """The mean loss of a compiled autoencoder over a split."""
    batches = evaluation_batches(split, 0, recipe.preprocessing, recipe.part_size)
    with step(f"testing on {len(split):,} images"):
        return float(learner.evaluate(batches, verbose=0))


def _keep_examples(learner: MaskedAutoencoder, recipe: Recipe, split: Split, file: Path) -> None:
    """Writes what a few test images become, for `keras_vit.reports.draw_reconstruction`."""
    places = np.linspace(0, len(split) - 1, min(_EXAMPLES, len(split))).astype(int)
    (images,) = split_batches(split.take(places), recipe.preprocessing, _EXAMPLES)
    masked, reconstructed = reconstruct(learner, images)
    pictures = {"original": images, "masked": masked, "reconstructed": reconstructed}
    pictures = {name: np.round(pixels).astype("uint8") for name, pixels in pictures.items()}
    with replacing(file) as temporary:
        np.savez_compressed(temporary, **pictures)  # type: ignore[arg-type]
