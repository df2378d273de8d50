# SPDX-License-Identifier: MIT
"""What a training says of itself while it goes on, on standard error."""

import contextlib
import math
from collections.abc import Iterator

import keras

from keras_vit import progress
from keras_vit.training.history import MEASURED, History


class TellProgress(keras.callbacks.Callback):
    """A line for each epoch, and between them what every long step of this package shows.

    Both have the time left of the whole run. Keras' own bar has that of an epoch, and takes the
    first step, which compiles what the others run, for one of them.

    Args:
        history: knows the epochs, and what each measured; is told of everything first.
        first_step: train steps that an earlier process made, before the run was resumed.
    """

    def __init__(self, history: History, first_step: int):
        super().__init__()
        self.history = history
        self.first_step = first_step
        self._step: progress.Step | None = None
        self._compiled = self._validated = False

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows how far the run is for as long as the block takes."""
        total = self.history.steps * self.history.epochs
        with progress.step("training", total, "steps") as self._step:
            self._step.done = self.first_step
            self._step.time_from_here()
            yield

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if epoch in [phase.first for phase in self.history.phases]:
            self._compiled = False
        self._say("" if self._compiled else ", compiling")

    def on_train_batch_end(self, batch, logs=None):
        self._step.advance()
        if not self._compiled:
            self._compiled = True
            self._say("")
            self._step.time_from_here(self._heavier())

    def on_test_begin(self, logs=None):
        self._say(", validation")
        if not self._validated:  # compiles too
            self._step.hold()

    def on_test_end(self, logs=None):
        self._validated = True
        self._step.go_on()

    def on_epoch_end(self, epoch, logs=None):
        progress.say(epoch_line(self.history, self._step.seconds_left))

    def _say(self, what: str):
        self._step.doing = f"epoch {self._epoch + 1} of {self.history.epochs}{what}"

    def _heavier(self) -> float:
        """What later, larger images cost more than these, in steps of this image size."""
        phases = self.history.phases
        now = next(phase for phase in phases if self._epoch < phase.end)
        return self.history.steps * sum(
            (phase.end - phase.first)
            * (math.prod(phase.image_size) / math.prod(now.image_size) - 1)
            for phase in phases
            if phase.first > now.first
        )


def epoch_line(history: History, seconds_left: float | None) -> str:
    """What the last epoch measured, how fast it was, and the time left of the run."""
    row, epochs = history.rows[-1], history.epochs
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    parts += [f"{name} {row[name]:.4f}" for name in MEASURED if name in row]
    if row["images_per_second"]:
        parts.append(f"{row['images_per_second']:,.0f} images/s")
    if seconds_left is not None:
        parts.append(f"{progress.clock(seconds_left)} left")
    if row.get("skipped_updates"):
        parts.append(f"{row['skipped_updates']} bad updates skipped")
    return "  ".join(parts)
