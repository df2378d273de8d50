# SPDX-License-Identifier: MIT
"""Callbacks that write checkpoints, stop when asked, and go on where a checkpoint was written."""

import time
from collections.abc import Sequence

import keras

from keras_vit.progress import step
from keras_vit.training.best_weights import SwapAverages
from keras_vit.training.checkpoints import Checkpoint, Checkpoints
from keras_vit.training.engine import OneDevice
from keras_vit.training.exceptions import Interrupted, NonFiniteLoss, StopSignals, TimeIsUp
from keras_vit.training.options import RunOptions
from keras_vit.training.state import capture, metric_values, set_metric_values

_LATE = 1000  # above the numbers of all signals; stands for a signal where the time is up


class SaveCheckpoints(keras.callbacks.Callback):
    """Writes a checkpoint when one is due.

    Args:
        checkpoints: where they go.
        options: say how often.
        first_step: train steps that were made before this process.
        progress: what every checkpoint says, next to what the callbacks remember.
        others: callbacks; those with `get_state` are asked for it.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        options: RunOptions,
        first_step: int,
        progress: dict,
        others: Sequence[keras.callbacks.Callback],
    ):
        super().__init__()
        self.checkpoints = checkpoints
        self.options = options
        self.step = self._saved_step = first_step
        self.progress = progress
        self.others = others
        self.cost = 0.0  # seconds that the last one took
        self._saved_at = time.perf_counter()
        self._epoch_means = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.options.is_due(self.step, time.perf_counter() - self._saved_at, self.cost):
            self.save()

    def on_test_begin(self, logs=None):
        self._epoch_means = metric_values(self.model)  # validation overwrites them

    def on_test_end(self, logs=None):
        self._epoch_means = None

    def save(self, trained: bool = False):
        """Writes the state after the last train step, or after the last epoch.

        During a validation this disturbs it: the run has to end then.

        Raises:
            NonFiniteLoss: when a variable is NaN or infinite.
            WriteFailed: when the disk is full or broken.
        """
        if self._saved_step == self.step and not trained:
            return
        began = time.perf_counter()
        if self._epoch_means is not None:
            self._leave_validation()
        remembered = {
            type(callback).__name__: callback.get_state()
            for callback in self.others
            if hasattr(callback, "get_state")
        }
        progress = {**self.progress, "callbacks": remembered}
        checkpoint = Checkpoint(self.step, capture(self.model), progress, trained)
        if not checkpoint.finite:
            raise NonFiniteLoss(f"weights became NaN or infinite up to step {self.step:,}.")
        self.checkpoints.save(checkpoint)
        self._saved_step, self._saved_at = self.step, time.perf_counter()
        self.cost = self._saved_at - began

    def _leave_validation(self):
        """Puts weights and running means back as the last train step left them."""
        for callback in self.others:
            if isinstance(callback, SwapAverages):
                callback.put_back()
        set_metric_values(self.model, self._epoch_means)


class StopWhenAsked(keras.callbacks.Callback):
    """On SIGINT, on SIGTERM or when the time is up, writes a checkpoint and raises `Interrupted` or
    `TimeIsUp`; a second signal kills at once.

    Args:
        saver: writes the checkpoint.
        deadline: `time.perf_counter()` by which the checkpoint is to be written, or None.
        engine: knows the other processes of the run, with which it stops after the same step.
    """

    def __init__(self, saver: SaveCheckpoints, deadline: float | None, engine: OneDevice):
        super().__init__()
        self.engine = engine
        self.saver = saver
        self.deadline = deadline
        self.signals = StopSignals()
        self._last = time.perf_counter()

    def on_train_begin(self, logs=None):
        self.signals.watch()

    def on_train_batch_begin(self, batch, logs=None):
        self.engine.begin_step()

    on_test_batch_begin = on_train_batch_begin

    def on_train_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def _stop_if_asked(self):
        now = time.perf_counter()
        step_seconds, self._last = now - self._last, now
        late = self.deadline is not None and now + step_seconds + self.saver.cost > self.deadline
        signal = self.engine.agreed(self.signals.received or (_LATE if late else 0))
        if not signal:
            return
        self.saver.save()
        step, workdir = self.saver.step, self.saver.checkpoints.folder.parent
        if signal != _LATE:
            raise Interrupted(signal, step, workdir)
        raise TimeIsUp("the time is up", step, workdir)


class ContinueEpoch(keras.callbacks.Callback):
    """Lets `fit` go on in the middle of an epoch: comes before the other callbacks.

    `fit` knows whole epochs only. It begins this one again, with `steps_per_epoch` steps before it;
    so its running means are put back, and it is ended by hand when its last step is made.

    Args:
        means: running sums of loss and metrics so far.
        steps_left: train steps until the epoch is over; 0 when only its end is missing, see
            `FinishEpoch`.
    """

    def __init__(self, means: list, steps_left: int):
        super().__init__()
        self.means = means
        self.steps_left = steps_left

    def on_epoch_begin(self, epoch, logs=None):
        if self.means is not None:  # `fit` has just set them to zero
            set_metric_values(self.model, self.means)
            self.means = None

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            self.model.stop_training = True  # ends this epoch, and after its validation the run

    def on_test_begin(self, logs=None):
        if self.steps_left == 0:
            self.model.stop_training = False  # so that only the epoch ends


class FinishEpoch(keras.callbacks.Callback):
    """Ends an epoch that was stopped after its last step: comes after the other callbacks.

    Args:
        epoch: number of the epoch, from 0.
        validation: batches.
        everyone: all callbacks, this one included.
    """

    def __init__(self, epoch: int, validation, everyone: keras.callbacks.CallbackList):
        super().__init__()
        self.epoch = epoch
        self.validation = validation
        self.everyone = everyone

    def on_train_begin(self, logs=None):
        self.everyone.on_epoch_begin(self.epoch)
        logs = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        with step(f"validating epoch {self.epoch + 1}"):
            measured = self.model.evaluate(
                self.validation, callbacks=self.everyone, return_dict=True, verbose=0
            )
        logs.update({f"val_{name}": value for name, value in measured.items()})
        self.everyone.on_epoch_end(self.epoch, logs)
