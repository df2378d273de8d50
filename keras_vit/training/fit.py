# SPDX-License-Identifier: MIT
"""`model.fit` with its callbacks: from the first step or from a checkpoint to the last epoch."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.data import evaluation_batches, training_batches
from keras_vit.data.checks.examine import broken_message
from keras_vit.data.pipeline.decoding import undecodable
from keras_vit.errors import UserError
from keras_vit.layers.transformer_block import blocks_within
from keras_vit.progress import say
from keras_vit.recipes import Phase
from keras_vit.recipes.optimization import steps_of
from keras_vit.training.bad_updates import skip_bad_updates
from keras_vit.training.best_weights import SaveBest
from keras_vit.training.callbacks import Callbacks, make_callbacks
from keras_vit.training.checkpoints import Checkpoint, Checkpoints
from keras_vit.training.exceptions import NonFiniteLoss, ProcessLost, WriteFailed, resume_command
from keras_vit.training.initial_model import make_initial_model
from keras_vit.training.objectives import objective_of
from keras_vit.training.optimizers import make_optimizer
from keras_vit.training.plan import Plan
from keras_vit.training.schedules import make_restarting_schedule
from keras_vit.training.state import build_metrics

# What begins the message of an error of XLA, such as "UNKNOWN: Gloo AllGather failed".
_STATE = re.compile(r"(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN): ")


def fit(
    plan: Plan,
    checkpoints: Checkpoints,
    start: Checkpoint | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> SaveBest:
    """Trains to the last epoch, from a checkpoint or from the beginning.

    Args:
        plan: what to train.
        checkpoints: where they are written.
        start: the one to go on from; None for the beginning.
        callbacks: those of the caller.

    Returns:
        The callback that knows the best epoch and where its weights are.

    Raises:
        Stopped: when asked to by a signal or by the clock; a checkpoint was written.
        NonFiniteLoss, WriteFailed: they name the last good checkpoint.
        UserError: for an image that cannot be read any more.
    """
    first_step = start.step if start else 0
    plan.engine.explain_loss(lambda: _after_a_loss(checkpoints))
    with plan.engine.running():
        model, validation, everyone = _begin(plan, checkpoints, start, callbacks)
        with _errors_explained(plan, checkpoints):
            with everyone.running():
                for phase, step in _phases_left(plan, first_step):
                    everyone.goes_on = phase is not plan.phases[-1]
                    # A graph that has seen one size would be traced for an unknown one, without
                    # patches.
                    model.make_train_function(force=True)
                    model.fit(
                        make_batches(plan, phase, min(step, plan.steps - 1)),
                        steps_per_epoch=plan.steps_per_epoch,
                        initial_epoch=step // plan.steps_per_epoch,
                        epochs=phase.end,
                        validation_data=validation,
                        callbacks=everyone,
                        shuffle=False,  # the pipeline shuffles; this only silences a warning
                    )
                    if model.stop_training:
                        break
            plan.engine.leave()
    return everyone.best


def _begin(
    plan: Plan,
    checkpoints: Checkpoints,
    start: Checkpoint | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[keras.Model, Any, Callbacks]:
    """The model where the run begins or goes on, the validation batches, and all callbacks."""
    with plan.engine.building():
        validation, model = make_validation_batches(plan), make_model(plan)
        build_metrics(model, validation)
    everyone = make_callbacks(plan, model, validation, checkpoints, start, callbacks)
    plan.engine.spread_seeds(model)
    return model, validation, everyone


def make_model(plan: Plan) -> keras.Model:
    """The compiled model at its start, with the weights that the recipe names."""
    recipe, objective = plan.recipe, objective_of(plan.recipe)
    keras.utils.set_random_seed(recipe.seed)
    with _dtype_policy(plan.precision):
        model = make_initial_model(recipe, plan.images.classes, plan.weights)
        model = objective.learner(model, recipe, plan.images)
    for block in blocks_within(model):
        block.remat = recipe.remat
    model.compile(
        optimizer=_make_optimizer(plan, model),
        **objective.compile_arguments(recipe, plan.images),
        jit_compile="auto" if recipe.jit_compile is None else recipe.jit_compile,
    )
    return model


def _make_optimizer(plan: Plan, model: keras.Model) -> keras.optimizers.Optimizer:
    recipe, variables = plan.recipe, model.trainable_variables
    schedule = make_restarting_schedule(
        recipe.schedule,
        recipe.optimizer.learning_rate,
        plan.steps_per_epoch / recipe.accumulate,
        recipe.cycles,
    )
    updates = plan.steps_per_epoch / recipe.accumulate
    first = steps_of(
        recipe.schedule.head_first or "0 steps", updates, int(updates * recipe.cycles[0])
    )
    optimizer = make_optimizer(recipe.optimizer, schedule, variables, recipe.accumulate, first)
    optimizer = skip_bad_updates(optimizer) if recipe.skip_bad_updates else optimizer
    return plan.engine.finish_optimizer(optimizer)


def make_batches(plan: Plan, phase: Phase, first_step: int = 0):
    """The training batches from a step of a phase to its end; nothing is decoded to get there.

    They are those of a model of this image size, but for a padding that is as large a share of it;
    a cache holds the images of this size.
    """
    recipe, config = plan.recipe, plan.recipe.model
    scale = phase.image_size[0] / config.image_size[0]
    padding = round(recipe.augmentation.pad * scale)
    batches, _ = training_batches(
        plan.images.train,
        config.num_classes,
        dataclasses.replace(recipe.preprocessing, image_size=phase.image_size),
        recipe.part_size,
        phase.end,
        recipe.seed,
        dataclasses.replace(recipe.augmentation, pad=padding),
        _cache(plan),
        first_step,
        plan.engine.share,
    )
    return batches


def _cache(plan: Plan) -> str:
    """Whether training images stay in memory: not by themselves in each of several processes.

    Which part of the images a process needs changes from epoch to epoch.
    """
    cache = plan.recipe.data.cache
    return "none" if cache == "auto" and plan.engine.cluster.count > 1 else cache


def make_validation_batches(plan: Plan):
    """The validation batches, at the model's own image size."""
    recipe = plan.recipe
    return evaluation_batches(
        plan.images.validation,
        recipe.model.num_classes,
        recipe.preprocessing,
        recipe.part_size,
        recipe.data.cache,
        plan.engine.replicas,
        plan.engine.share,
    )


def first_batch(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of the first train step, as the model sees them."""
    images, labels = next(iter(make_batches(plan, plan.phases[0]).take(1)))
    return np.asarray(images), np.asarray(labels)


def _phases_left(plan: Plan, first_step: int) -> Iterator[tuple[Phase, int]]:
    """The image sizes that are left, each with the train step where it goes on.

    After the last step of all there is the last one: its epoch may have an end that is missing.
    """
    for phase in plan.phases:
        begins, ends = (epoch * plan.steps_per_epoch for epoch in (phase.first, phase.end))
        if max(min(first_step, plan.steps - 1), begins) < ends:
            if plan.recipe.progressive:
                say(str(phase))
            yield phase, max(first_step, begins)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


@contextlib.contextmanager
def _errors_explained(plan: Plan, checkpoints: Checkpoints) -> Iterator[None]:
    """Raises what helps more than an error of the block does: which file, and how to go on."""
    try:
        yield
    except NonFiniteLoss as error:
        newest = checkpoints.newest()
        kept = f"The last good checkpoint is {newest}." if newest else "There is no checkpoint yet."
        raise NonFiniteLoss(f"{error} {kept}") from error
    except Exception as error:
        go_on = resume_command(checkpoints.folder.parent)
        if type(error).__name__ in ("InvalidArgumentError", "NotFoundError", "FileNotFoundError"):
            problems = _undecodable_now(plan)
            if problems:
                raise UserError(
                    f"{broken_message(plan.images.name, problems)}\n"
                    f"Once they are as they were, continue with: {go_on}"
                ) from error
        if plan.engine.cluster.count > 1 and _of_a_collective(error):
            raise ProcessLost(
                f"another process of this run is gone, or does not answer "
                f"({str(error).splitlines()[0][:200]}). {_after_a_loss(checkpoints)}"
            ) from error
        if isinstance(error, WriteFailed | OSError):
            raise WriteFailed(f"{error}\nMake room, then continue with: {go_on}") from error
        raise


def _of_a_collective(error: Exception) -> bool:
    """Whether JAX could not compute something with the others.

    It raises a JaxRuntimeError, or for some states of XLA a ValueError that begins with the state.
    """
    return "RuntimeError" in type(error).__name__ or bool(_STATE.match(str(error)))


def _after_a_loss(checkpoints: Checkpoints) -> str:
    """What there is to go on from, and how."""
    newest = checkpoints.newest()
    kept = f"The last checkpoint is {newest}." if newest else "There is no checkpoint yet."
    go_on = resume_command(checkpoints.folder.parent)
    return f"{kept} Start all processes again with: {go_on}"


def _undecodable_now(plan: Plan):
    """The image files that cannot be decoded, now that TensorFlow has met one."""
    paths = {path for split in plan.images.splits.values() for path in split.files}
    return undecodable(sorted(paths))
