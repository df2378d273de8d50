# SPDX-License-Identifier: MIT
"""What a run does beside its steps: keep the best weights, keep a log, stop well."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_vit.training.history import draw_curves, score_name, write_history


class Interrupted(Exception):
    """A signal stopped the run; what there was has been saved."""

    def __init__(self, number: int, saved: Path):
        super().__init__(f"stopped by {signal.Signals(number).name}; the weights are in {saved}")
        self.number = number


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises `NonFiniteLoss` at the first step whose loss is not finite.

    Keras's own TerminateOnNaN ends `fit` as if all were well, and lets the broken weights be saved.
    """

    def __init__(self, best: "SaveBest"):
        super().__init__()
        self.best = best
        self.step = 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        # The logged loss is a mean over the epoch: one NaN in it stays.
        if not math.isfinite(logs["loss"]):
            if self.best.epoch is None:
                kept = "No weights were saved before that."
            else:
                kept = (
                    f"The best weights before it, of epoch {self.best.epoch + 1}, are in "
                    f"{self.best.path}."
                )
            raise NonFiniteLoss(
                f"the loss became {logs['loss']} at step {self.step}. {kept} "
                "Try a lower optimizer.learning_rate, or look for images with extreme values."
            )


class SaveBest(keras.callbacks.Callback):
    """Saves the weights of the best epoch: highest validation accuracy, then lowest loss.

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
        score = (logs[f"val_{score_name(logs)}"], -logs["val_loss"])
        # A gradient can be NaN while the loss of its step is not: then the validation loss is.
        if not math.isfinite(score[1]):
            raise NonFiniteLoss(
                f"the validation loss became {logs['val_loss']} in epoch {epoch + 1}."
            )
        if self.best is None or score > self.best:
            self.best, self.epoch = score, epoch
            self.save(self.model, self.path)


class StopOnSignal(keras.callbacks.Callback):
    """On SIGINT or SIGTERM saves the weights and raises `Interrupted`; a second signal kills at
    once.

    Args:
        path: where the weights go.
        save: writes the model being trained to a path.
    """

    def __init__(self, path: Path, save: Callable[[keras.Model, Path], None]):
        super().__init__()
        self.path = path
        self.save = save
        self.received = None
        self._previous = {}

    def on_train_begin(self, logs=None):
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # signals belong to the main thread
                self._previous[number] = signal.signal(number, self._note)

    def on_train_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Puts the handlers back that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number, frame):
        self.received = number
        signal.signal(number, signal.SIG_DFL)

    def _stop_if_asked(self):
        if self.received is not None:
            self.save(self.model, self.path)
            raise Interrupted(self.received, self.path)


class History(keras.callbacks.Callback):
    """Writes `history.csv` and `curves.png` at the end of each epoch.

    Columns: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate, seconds,
    images_per_second (training alone, without the first step, which traces the graph).
    """

    def __init__(self, folder: Path, batch_size: int, steps: int):
        super().__init__()
        self.folder = folder
        self.batch_size = batch_size
        self.steps = steps
        self.rows: list[dict[str, float]] = []
        self.steady_seconds = 0.0  # of the last epoch, without its first step

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()
        self._first_step = self._last_step = None

    def on_train_batch_end(self, batch, logs=None):
        self._last_step = time.perf_counter()
        if self._first_step is None:
            self._first_step = self._last_step

    def on_epoch_end(self, epoch, logs=None):
        self.steady_seconds = time.perf_counter() - self._first_step
        training = self._last_step - self._first_step
        images = self.batch_size * (self.steps - 1)
        score = score_name(logs)
        self.rows.append(
            {
                "epoch": epoch + 1,
                **{name: float(logs[name]) for name in ("loss", score, "val_loss", f"val_{score}")},
                "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
                "seconds": time.perf_counter() - self._began,
                "images_per_second": images / training if training > 0 else 0.0,
            }
        )
        write_history(self.folder / "history.csv", self.rows)
        draw_curves(self.folder / "curves.png", self.rows)


class EpochLines(keras.callbacks.Callback):
    """One line for each epoch on standard error, with the time left: for logs and pipes."""

    def __init__(self, history: History):
        super().__init__()
        self.history = history

    def on_epoch_end(self, epoch, logs=None):
        row, epochs = self.history.rows[-1], self.params["epochs"]
        score = score_name(row)
        left = (epochs - epoch - 1) * self.history.steady_seconds
        print(
            f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}  "
            f"{score} {row[score]:.4f}  val_loss {row['val_loss']:.4f}  "
            f"val_{score} {row[f'val_{score}']:.4f}  {row['images_per_second']:,.0f} images/s  "
            f"{int(left // 60)}:{int(left % 60):02d} left",
            file=sys.stderr,
            flush=True,
        )
