# SPDX-License-Identifier: MIT
"""The callbacks of a run: which there are, and in which order they are told of a step.

`get_state` and `set_state`, where a callback has them, carry what it remembers through a
checkpoint as plain data.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras

from keras_vit.training.bad_updates import CountBadUpdates, StopOnNonFinite
from keras_vit.training.best_weights import SaveBest, SwapAverages
from keras_vit.training.checkpoints import Checkpoint, Checkpoints
from keras_vit.training.history import History
from keras_vit.training.objectives import objective_of
from keras_vit.training.plan import Plan
from keras_vit.training.state import metric_values, restore
from keras_vit.training.stop_and_resume import (
    ContinueEpoch,
    FinishEpoch,
    SaveCheckpoints,
    StopWhenAsked,
)
from keras_vit.training.telling import TellProgress


class Callbacks(keras.callbacks.CallbackList):
    """What is told of one training, though `fit` is called once for each image size.

    Args:
        watching: the callbacks that look at the training, in their order.
        saver, stop: are told after them, in this order.
        model: the compiled model.
        epochs, steps: of the whole run, and in an epoch.

    Attributes:
        goes_on: whether another call of `fit` follows.
    """

    goes_on = False
    _begun = False

    def __init__(
        self,
        watching: Sequence[keras.callbacks.Callback],
        saver: SaveCheckpoints,
        stop: StopWhenAsked,
        model: keras.Model,
        epochs: int,
        steps: int,
    ):
        everyone = [*watching, saver, stop]
        super().__init__(everyone, add_history=True, model=model, epochs=epochs, steps=steps)
        self.saver = saver
        self.stop = stop

    @property
    def best(self) -> SaveBest:
        """Knows the best epoch and where its weights are."""
        return self._the(SaveBest)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Shows how far the run is; writes the last checkpoint; gives the signals back."""
        try:
            # Standard output is for results; a callback of the caller may print.
            with contextlib.redirect_stdout(sys.stderr), self._the(TellProgress).shown():
                yield
            self.saver.save(trained=True)
        finally:
            self.stop.signals.restore()

    def on_train_begin(self, logs=None):
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        if not self.goes_on or self.model.stop_training:
            super().on_train_end(logs)

    def _the(self, kind: type):
        return next(callback for callback in self.callbacks if isinstance(callback, kind))


def make_callbacks(
    plan: Plan,
    model: keras.Model,
    validation,
    checkpoints: Checkpoints,
    start: Checkpoint | None = None,
    others: Sequence[keras.callbacks.Callback] = (),
) -> Callbacks:
    """Makes all callbacks of a run, each in its place.

    Args:
        plan: the run.
        model: compiled, with the variables of its metrics.
        validation: the validation batches.
        checkpoints: those of the run folder.
        start: where the run goes on; None for its beginning.
        others: those of the caller.
    """
    first_step = start.step if start else 0
    history = History(plan.run, plan.batch_size, plan.steps_per_epoch, plan.phases)
    watching = [
        # First the average of the weights is swapped in: what follows evaluates and saves it.
        *([SwapAverages()] if plan.recipe.optimizer.ema is not None else []),
        # Numbers that are not finite end the run, or are mended, before anybody writes them down.
        CountBadUpdates() if plan.recipe.skip_bad_updates else StopOnNonFinite(first_step),
        history,
        save_best(plan),
        TellProgress(history, first_step),  # shows the row that `history` has just made
        *([_tensorboard(plan)] if plan.options.tensorboard else []),
        *others,
    ]
    # After all of them, as a checkpoint holds what each remembers of this very step.
    progress = {"precision": plan.precision}
    saver = SaveCheckpoints(checkpoints, plan.options, first_step, progress, watching)
    # Who stops the run comes last: nobody is left out of its last step.
    stop = StopWhenAsked(saver, plan.deadline, plan.engine)
    epochs, steps = plan.recipe.epochs, plan.steps_per_epoch
    everyone = Callbacks(watching, saver, stop, model, epochs, steps)
    if start is not None:
        _go_on(everyone, start, steps, validation)
    return everyone


def save_best(plan: Plan) -> SaveBest:
    """Makes the callback that keeps the best weights in the run folder."""

    def save(model: keras.Model, path: Path) -> None:
        if plan.engine.leads:
            with plan.engine.apart():
                objective_of(plan.recipe).save(model, path)

    return SaveBest(plan.run.model_file, save)


def _tensorboard(plan: Plan) -> keras.callbacks.Callback:
    return keras.callbacks.TensorBoard(plan.run.tensorboard_folder, write_graph=False)


def _go_on(everyone: Callbacks, start: Checkpoint, steps_per_epoch: int, validation) -> None:
    """Puts model and callbacks where they were when a checkpoint was written."""
    model, remembered = everyone.model, start.progress["callbacks"]
    restore(model, start.arrays)
    for callback in everyone.callbacks:
        if hasattr(callback, "set_state") and type(callback).__name__ in remembered:
            callback.set_state(remembered[type(callback).__name__])
    epoch, done = divmod(start.step, steps_per_epoch)
    # The means of the epoch are put back before anybody reads them ...
    first = ContinueEpoch(metric_values(model), steps_per_epoch - done if done else 0)
    additional = [first]
    if not done and not start.trained:
        # ... and an epoch whose steps are over ends when everybody has been told of the beginning.
        additional.append(FinishEpoch(epoch - 1, validation, everyone))
    for callback in additional:
        callback.set_model(model)
        callback.set_params(everyone.params)
    everyone.callbacks[:] = [first, *everyone.callbacks, *additional[1:]]
