# SPDX-License-Identifier: MIT
"""A plan: everything that is resolved before the first step."""

import dataclasses
import os
import sys
import time
from pathlib import Path

from keras_vit.data import Audit, ImageSet
from keras_vit.recipes import Phase, Recipe
from keras_vit.recipes.schema import RANDOM
from keras_vit.run_folder import RunFolder
from keras_vit.training.default_start import with_start
from keras_vit.training.distribution import make_engine, prepare_devices
from keras_vit.training.engine import OneDevice
from keras_vit.training.initial_model import InitialWeights, check_view, complete
from keras_vit.training.objectives import objective_of
from keras_vit.training.options import RunOptions
from keras_vit.training.precision import choose_precision
from keras_vit.weights.catalog import check_named


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained, on what, where and how: data, from which whoever needs it makes the rest.

    Attributes:
        recipe: complete: with a model for the classes of the images, and a precision.
        images: the data.
        audit: what was found in their files; None without files.
        run: the folder that it goes to.
        precision: a Keras dtype policy.
        phases: which epochs see which image size.
        options: see `keras_vit.train`.
        deadline: `time.perf_counter()` by which the run has to have stopped, or None.
        weights: the checkpoint that it starts from, None for random weights.
        engine: the devices, and what spreads the run over them.
        in_memory: whether a program handed the images over, which no command can name.
    """

    recipe: Recipe
    images: ImageSet
    audit: Audit | None
    run: RunFolder
    precision: str
    phases: tuple[Phase, ...]
    options: RunOptions
    deadline: float | None
    weights: InitialWeights | None
    engine: OneDevice
    in_memory: bool = False

    @property
    def batch_size(self) -> int:
        """Examples in a batch, of a small split too."""
        return min(self.recipe.part_size, len(self.images.train))

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.images.train) // self.batch_size

    @property
    def steps(self) -> int:
        """Batches in the run."""
        return self.steps_per_epoch * self.recipe.epochs


def make_plan(
    recipe: Recipe,
    folder: str | os.PathLike | None = None,
    data: ImageSet | None = None,
    options: RunOptions | None = None,
    new: bool = True,
) -> Plan:
    """Reads the images and fills in what follows from them and from this machine.

    Args:
        recipe: what to train.
        folder: of the run; None where it is not known yet, or where nothing is written.
        data, options: see `keras_vit.train`.
        new: whether the recipe is a wish, and not that of a run which goes on: it is then asked
            whether its model sees what the images show.

    Raises:
        UserError: for a recipe that cannot be carried out on these images.
    """
    options = options or RunOptions()
    prepare_devices(recipe.distribution, options.devices)  # before anything is computed
    deadline = None if options.max_time is None else time.perf_counter() + options.max_time
    images, audit = _images(recipe, data)
    recipe = with_start(recipe, images) if new else recipe
    weights = None if recipe.init is None else InitialWeights(recipe)
    completed = complete(recipe, images, weights)
    objective_of(recipe).check(completed, images)
    engine = make_engine(recipe.distribution, options.devices)
    engine.check(completed, len(images.train))
    wanted = recipe.precision
    if wanted == "auto" and recipe.lora is not None:
        wanted = "float32"  # see Recipe.lora
    precision = choose_precision(wanted, completed.model, completed.part_size)
    # A run keeps its choice: another machine would go on to another result.
    completed = dataclasses.replace(completed, precision=precision)
    if new and recipe.model is not None:
        check_view(completed, images, options.intended)
    run, phases = RunFolder(Path(folder or ".")), completed.phases
    return Plan(
        completed,
        images,
        audit,
        run,
        precision,
        phases,
        options,
        deadline,
        weights,
        engine,
        in_memory=data is not None,
    )


def _images(recipe: Recipe, given: ImageSet | None) -> tuple[ImageSet, Audit | None]:
    """The images of a recipe, or those that were given in memory, as its objective wants them;
    and what was found in their files."""
    if recipe.init not in (None, RANDOM):
        check_named(recipe.init)  # before the images are read, which may take minutes
    objective, wanted = objective_of(recipe), recipe.data
    if given is not None:
        return objective.prepare(given), None
    print(f"reading {wanted.source}", file=sys.stderr)  # to check many images takes a while
    images, audit = objective.load(
        wanted.source,
        wanted.data_dir,
        wanted.test,
        wanted.validation,
        wanted.split_seed,
        wanted.on_bad,
        limit=wanted.limit,
    )
    return objective.prepare(images), audit
