# SPDX-License-Identifier: MIT
"""`model.fit` with its callbacks: from the first step or from a checkpoint to the last epoch."""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.data import ImageSet, evaluation_batches, training_batches
from keras_vit.data.checks.examine import broken_message
from keras_vit.data.pipeline.decoding import undecodable
from keras_vit.errors import UserError
from keras_vit.progress import say
from keras_vit.recipes import Data, Phase, Recipe
from keras_vit.training.averages import SwapAverages
from keras_vit.training.bad_updates import CountBadUpdates, skip_bad_updates
from keras_vit.training.callbacks import Callbacks, History, SaveBest, StopOnNonFinite
from keras_vit.training.checkpoints import Checkpoint, Checkpoints
from keras_vit.training.exceptions import NonFiniteLoss, WriteFailed, resume_command
from keras_vit.training.optimizers import make_optimizer
from keras_vit.training.precision import choose_precision
from keras_vit.training.saving import (
    ContinueEpoch,
    FinishEpoch,
    SaveCheckpoints,
    StopWhenAsked,
)
from keras_vit.training.schedules import make_restarting_schedule
from keras_vit.training.session import Session
from keras_vit.training.starting import complete, starting_model
from keras_vit.training.state import build_metrics, metric_values, restore
from keras_vit.training.tasks import Classification, task_of
from keras_vit.training.telling import TellProgress
from keras_vit.weights.catalog import check_named


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained, on what, where and how.

    Attributes:
        recipe: with the number of classes filled in.
        images: the data.
        folder: the run folder.
        precision: a Keras dtype policy.
        session, callbacks: see `keras_vit.train`.
        began: `time.perf_counter()` at which the session began.
        phases: which epochs see which image size.
    """

    recipe: Recipe
    images: ImageSet
    folder: Path
    precision: str
    session: Session
    callbacks: Sequence[keras.callbacks.Callback]
    began: float
    phases: tuple[Phase, ...]

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

    @property
    def checkpoints(self) -> Checkpoints:
        """Those of the run folder."""
        return Checkpoints(self.folder / "checkpoints", self.session.keep_checkpoints)

    @property
    def best(self) -> SaveBest:
        """Keeps the best weights in the run folder."""
        return SaveBest(self.folder / "model.keras", self.task.save)

    @property
    def task(self) -> Classification:
        """What depends on the objective."""
        return task_of(self.recipe)


def make_job(
    recipe: Recipe,
    workdir: str | os.PathLike | None,
    data: ImageSet | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    session: Session | None = None,
) -> Job:
    """Finds the images and fills in what follows from them and from this machine."""
    began = time.perf_counter()
    task = task_of(recipe)
    if recipe.init is not None:
        check_named(recipe.init)
    images = task.prepare(data or _load(task, recipe.data))
    recipe = complete(recipe, images)
    task.check(recipe, images)
    precision = choose_precision(recipe.precision, recipe.model, recipe.part_size)
    # A run keeps its choice: another machine would go on to another result.
    recipe = dataclasses.replace(recipe, precision=precision)
    folder = Path(workdir or ".")
    session, phases = session or Session(), recipe.phases
    return Job(recipe, images, folder, precision, session, callbacks, began, phases)


def first_batch(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of the first train step, as the model sees them."""
    images, labels = next(iter(make_batches(job, job.phases[0]).take(1)))
    return np.asarray(images), np.asarray(labels)


def make_batches(job: Job, phase: Phase, first_step: int = 0):
    """The training batches from a step of a phase to its end; nothing is decoded to get there.

    They are those of a model of this image size, but for a padding that is as large a share of it;
    a cache holds the images of this size.
    """
    recipe, config = job.recipe, job.recipe.model
    scale = phase.image_size[0] / config.image_size[0]
    padding = round(recipe.augmentation.pad * scale)
    batches, _ = training_batches(
        job.images.train,
        config.num_classes,
        phase.image_size,
        config.channels,
        recipe.part_size,
        phase.end,
        recipe.seed,
        dataclasses.replace(recipe.augmentation, pad=padding),
        recipe.data.crop,
        recipe.data.cache,
        first_step,
    )
    return batches


def make_model(job: Job) -> keras.Model:
    """The compiled model at its random start."""
    recipe = job.recipe
    keras.utils.set_random_seed(recipe.seed)
    with _dtype_policy(job.precision):
        model = job.task.learner(starting_model(recipe, job.images.classes), recipe, job.images)
    schedule = make_restarting_schedule(
        recipe.schedule,
        recipe.optimizer.learning_rate,
        job.steps_per_epoch / recipe.accumulate,
        recipe.cycles,
    )
    optimizer = make_optimizer(
        recipe.optimizer, schedule, model.trainable_variables, recipe.accumulate
    )
    model.compile(
        optimizer=skip_bad_updates(optimizer) if recipe.skip_bad_updates else optimizer,
        **job.task.compile_arguments(recipe, job.images),
        jit_compile="auto" if recipe.jit_compile is None else recipe.jit_compile,
    )
    return model


def fit(job: Job, start: Checkpoint | None) -> SaveBest:
    """Trains to the last epoch, from a checkpoint or from the beginning.

    Returns:
        The callback that knows the best epoch and where its weights are.

    Raises:
        Stopped: when asked to by a signal or by the clock; a checkpoint was written.
        NonFiniteLoss, WriteFailed: they name the last good checkpoint.
        UserError: for an image that cannot be read any more.
    """
    first_step = start.step if start else 0
    validation = _validation_batches(job)
    model = make_model(job)
    build_metrics(model, validation)

    history = History(job.folder, job.batch_size, job.steps_per_epoch, job.phases)
    best = job.best
    told = TellProgress(history, first_step)
    watching = _watching(job, best, history, told, first_step)
    saver = SaveCheckpoints(
        job.checkpoints, job.session, first_step, {"precision": job.precision}, watching
    )
    limit = job.session.max_time
    stop = StopWhenAsked(saver, None if limit is None else job.began + limit)
    everyone = Callbacks(
        [*watching, saver, stop],
        add_history=True,
        model=model,
        epochs=job.recipe.epochs,
        steps=job.steps_per_epoch,
    )
    if start is not None:
        _continue(everyone, model, start, job.steps_per_epoch, validation)
    try:
        # Standard output is for results; a callback of the caller may print.
        with contextlib.redirect_stdout(sys.stderr), told.shown():
            _fit_phases(job, model, first_step, validation, everyone)
        saver.save(trained=True)
    except Exception as error:
        _explain(error, job)
        raise
    finally:
        stop.restore()
    return best


def _fit_phases(
    job: Job, model: keras.Model, first_step: int, validation, everyone: Callbacks
) -> None:
    """Calls `fit` once for each image size that is left."""
    # After the last step there is no batch left, but `fit` wants a data set with one.
    step = min(first_step, job.steps - 1)
    for phase in job.phases:
        end = phase.end * job.steps_per_epoch
        if step >= end:
            continue
        if job.recipe.progressive:
            say(str(phase))
        everyone.goes_on = phase is not job.phases[-1]
        # A graph that has seen one size would be traced for an unknown one, which has no patches.
        model.make_train_function(force=True)
        model.fit(
            make_batches(job, phase, step),
            steps_per_epoch=job.steps_per_epoch,
            initial_epoch=max(step, first_step) // job.steps_per_epoch,
            epochs=phase.end,
            validation_data=validation,
            callbacks=everyone,
            shuffle=False,  # the pipeline shuffles; this only silences a warning
        )
        if model.stop_training:
            break
        step = end


def _watching(
    job: Job, best: SaveBest, history: History, told: TellProgress, first_step: int
) -> list[keras.callbacks.Callback]:
    """The callbacks that look at the training, in their order."""
    # The average of the weights is swapped in first: what follows then evaluates and saves it.
    watching = [SwapAverages()] if job.recipe.optimizer.ema is not None else []
    watching += [CountBadUpdates() if job.recipe.skip_bad_updates else StopOnNonFinite(first_step)]
    watching += [history, best, told]
    if job.session.tensorboard:
        watching.append(keras.callbacks.TensorBoard(job.folder / "tensorboard", write_graph=False))
    return [*watching, *job.callbacks]


def _continue(
    everyone: keras.callbacks.CallbackList,
    model: keras.Model,
    start: Checkpoint,
    steps_per_epoch: int,
    validation,
) -> None:
    """Puts model and callbacks where they were when a checkpoint was written."""
    restore(model, start.arrays)
    remembered = start.progress["callbacks"]
    for callback in everyone.callbacks:
        if hasattr(callback, "set_state") and type(callback).__name__ in remembered:
            callback.set_state(remembered[type(callback).__name__])
    epoch, done = divmod(start.step, steps_per_epoch)
    additional = [ContinueEpoch(metric_values(model), steps_per_epoch - done if done else 0)]
    if not done and not start.trained:
        additional.append(FinishEpoch(epoch - 1, validation, everyone))
    for callback in additional:
        callback.set_model(model)
        callback.set_params(everyone.params)
    everyone.callbacks[:] = [additional[0], *everyone.callbacks, *additional[1:]]


def _load(task: Classification, plan: Data) -> ImageSet:
    print(f"reading {plan.source}", file=sys.stderr)  # to check many images takes a while
    return task.load(
        *(plan.source, plan.data_dir, plan.test, plan.validation, plan.split_seed, plan.on_bad),
        limit=plan.limit,
    )


def _validation_batches(job: Job):
    config = job.recipe.model
    return evaluation_batches(
        job.images.validation,
        config.num_classes,
        config.image_size,
        config.channels,
        job.recipe.part_size,
        job.recipe.data.crop,
        job.recipe.data.cache,
    )


@contextlib.contextmanager
def _dtype_policy(name: str):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def _explain(error: Exception, job: Job) -> None:
    """Raises what helps more than `error`: which file, and how to go on. Returns otherwise."""
    newest, go_on = job.checkpoints.newest(), resume_command(job.folder)
    if isinstance(error, NonFiniteLoss):
        kept = f"The last good checkpoint is {newest}." if newest else "There is no checkpoint yet."
        raise NonFiniteLoss(f"{error} {kept}") from error
    if type(error).__name__ in ("InvalidArgumentError", "NotFoundError", "FileNotFoundError"):
        splits = (job.images.train, job.images.validation, job.images.test)
        paths = {path for split in splits if split.paths is not None for path in split.paths}
        problems = undecodable(sorted(paths))
        if problems:
            raise UserError(
                f"{broken_message(job.images.name, problems)}\n"
                f"Once they are as they were, continue with: {go_on}"
            ) from error
    if isinstance(error, WriteFailed | OSError):
        raise WriteFailed(f"{error}\nMake room, then continue with: {go_on}") from error
