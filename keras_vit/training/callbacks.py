# SPDX-License-Identifier: MIT
"""What a run does beside its steps: keep the best weights, keep a log, stop at nonsense.

`get_state` and `set_state`, where a callback has them, carry what it remembers through a
checkpoint as plain data.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.recipes import Phase
from keras_vit.training.exceptions import NonFiniteLoss
from keras_vit.training.history import SCORES, draw_curves, write_history

MEASURED = ("loss", *SCORES, "val_loss", *(f"val_{name}" for name in SCORES))  # where logged
_DRAW_SECONDS = 10.0  # a picture takes 0.2 s, an epoch of a small set less


class Callbacks(keras.callbacks.CallbackList):
    """What is told of one training, though `fit` is called once for each image size.

    Attributes:
        goes_on: whether another call follows.
    """

    goes_on = False
    _begun = False

    def on_train_begin(self, logs=None):
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        if not self.goes_on or self.model.stop_training:
            super().on_train_end(logs)


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises `NonFiniteLoss` at the first step whose loss is not finite.

    Keras's own TerminateOnNaN ends `fit` as if all were well, and lets the broken weights be saved.
    """

    def __init__(self, first_step: int):
        super().__init__()
        self.step = first_step

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        # The logged loss is a mean over the epoch: one NaN in it stays.
        if not math.isfinite(logs["loss"]):
            raise NonFiniteLoss(
                f"the loss became {float(logs['loss'])} at step {self.step:,}. Try a lower "
                "optimizer.learning_rate, look for images with extreme values, or set "
                "skip_bad_updates=true."
            )


class SaveBest(keras.callbacks.Callback):
    """Saves the weights of the best epoch: highest validation accuracy, where there is one, then
    lowest loss.

    With several classes to an image, average precision stands for accuracy, here and below.

    Args:
        path: the `.keras` file.
        save: writes the model being trained to a path.
    """

    def __init__(self, path: Path, save: Callable[[keras.Model, Path], None]):
        super().__init__()
        self.path = path
        self.save = save
        self.best = None
        self.epoch = None

    def on_epoch_end(self, epoch, logs=None):
        measured = [float(logs[f"val_{name}"]) for name in SCORES if f"val_{name}" in logs]
        score = (*measured, -float(logs["val_loss"]))
        # A gradient can be NaN while the loss of its step is not: then the validation loss is.
        if not math.isfinite(score[-1]):
            raise NonFiniteLoss(
                f"the validation loss became {logs['val_loss']} in epoch {epoch + 1}."
            )
        if self.best is None or score > self.best:
            self.best, self.epoch = score, epoch
            self.save(self.model, self.path)

    def get_state(self):
        return {"best": self.best, "epoch": self.epoch}

    def set_state(self, state):
        self.best = state["best"] and tuple(state["best"])
        self.epoch = state["epoch"]


class History(keras.callbacks.Callback):
    """Writes `history.csv` at the end of each epoch, and `curves.png` every few seconds at most.

    Columns: epoch (from 1), loss, accuracy, val_loss, val_accuracy (without the accuracies where
    there are no classes), learning_rate, seconds, images_per_second (training alone, without the
    first step of a graph, which traces it; 0 where there is no other), skipped_updates (of all
    epochs so far) where bad updates are skipped, and image_height and image_width where they grow.

    Args:
        folder: where both files go.
        batch_size: examples in a step.
        steps: steps in an epoch.
        phases: which epochs see which image size; each begins with a new graph, as a session does.
    """

    def __init__(self, folder: Path, batch_size: int, steps: int, phases: Sequence[Phase]):
        super().__init__()
        self.folder = folder
        self.batch_size = batch_size
        self.steps = steps
        self.phases = phases
        self.rows: list[dict[str, float]] = []
        self._traced = False
        self._carried = 0.0  # seconds of this epoch before the run was resumed
        self._drawn = -math.inf  # when

    def on_epoch_begin(self, epoch, logs=None):
        self._began = self._timed_from = self._last_step = time.perf_counter()
        self._timed_steps = 0
        self._traced = self._traced and epoch not in [phase.first for phase in self.phases]

    def on_train_batch_end(self, batch, logs=None):
        self._last_step = time.perf_counter()
        if self._traced:
            self._timed_steps += 1
        else:
            self._traced, self._timed_from = True, self._last_step

    def on_epoch_end(self, epoch, logs=None):
        speed = 0.0
        if self._timed_steps:
            step = (self._last_step - self._timed_from) / self._timed_steps
            speed = self.batch_size / step
        row = {
            "epoch": epoch + 1,
            **{name: float(logs[name]) for name in MEASURED if name in logs},
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            "seconds": self._seconds(),
            "images_per_second": speed,
        }
        if hasattr(self.model.optimizer, "skipped"):
            row["skipped_updates"] = int(self.model.optimizer.skipped)
        if len(self.phases) > 1:
            row["image_height"], row["image_width"] = self._phase(epoch).image_size
        self._carried = 0.0
        self.rows.append(row)
        write_history(self.folder / "history.csv", self.rows)
        if time.perf_counter() - self._drawn > _DRAW_SECONDS:
            self._draw()

    def on_train_end(self, logs=None):
        if self.rows:
            self._draw()

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.phases[-1].end

    def get_state(self):
        return {"rows": self.rows, "seconds": self._seconds()}

    def set_state(self, state):
        self.rows, self._carried = list(state["rows"]), state["seconds"]

    def _phase(self, epoch):
        return next(phase for phase in self.phases if epoch < phase.end)

    def _draw(self):
        draw_curves(self.folder / "curves.png", self.rows)
        self._drawn = time.perf_counter()

    def _seconds(self):
        return self._carried + time.perf_counter() - self._began
