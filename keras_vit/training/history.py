# SPDX-License-Identifier: MIT
"""The log of a run, epoch by epoch: as a table and as a picture."""

import csv
import io
import itertools
import math
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.files import replacing, write_text
from keras_vit.recipes import Phase
from keras_vit.run_folder import RunFolder
from keras_vit.training.state import to_array
from keras_vit.untrusted.reading import read_text

# What a log may hold next to the loss: with one class to an image, with several.
SCORES = ("accuracy", "average_precision")
MEASURED = ("loss", *SCORES, "val_loss", *(f"val_{name}" for name in SCORES))  # where logged
_DRAW_SECONDS = 10.0  # a picture takes 0.2 s, an epoch of a small set less


class History(keras.callbacks.Callback):
    """Writes the history at the end of each epoch, and draws its curves every few seconds at most.

    Columns: epoch (from 1), loss, accuracy, val_loss, val_accuracy (without the accuracies where
    there are no classes), learning_rate, seconds, images_per_second (training alone, without the
    first step of a graph, which traces it; 0 where there is no other), skipped_updates (of all
    epochs so far) where bad updates are skipped, and image_height and image_width where they grow.

    Args:
        run: where both files go.
        batch_size: examples in a step.
        steps: steps in an epoch.
        phases: which epochs see which image size; each begins with a new graph, as a process does.
    """

    def __init__(self, run: RunFolder, batch_size: int, steps: int, phases: Sequence[Phase]):
        super().__init__()
        self.run = run
        self.batch_size = batch_size
        self.steps = steps
        self.phases = phases
        self.rows: list[dict[str, float]] = []
        self._traced = False
        self._carried = 0.0  # seconds of this epoch before the run was resumed
        self._drawn, self._epochs_drawn = -math.inf, 0  # when, and how many

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
            row["skipped_updates"] = int(to_array(self.model.optimizer.skipped))
        if len(self.phases) > 1:
            row["image_height"], row["image_width"] = self._phase(epoch).image_size
        self._carried = 0.0
        self.rows.append(row)
        write_history(self.run.history_file, self.rows)
        if time.perf_counter() - self._drawn > _DRAW_SECONDS:
            self._draw()

    def on_train_end(self, logs=None):
        if len(self.rows) > self._epochs_drawn:
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
        draw_curves(self.run.curves_picture, self.rows)
        self._drawn, self._epochs_drawn = time.perf_counter(), len(self.rows)

    def _seconds(self):
        return self._carried + time.perf_counter() - self._began


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Writes one row for each epoch as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()})
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[dict[str, float]]:
    """Reads it back; every value as float."""
    rows = csv.DictReader(read_text(path).splitlines())
    return [{name: float(value) for name, value in row.items()} for row in rows]


def draw_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Draws loss and, where it was measured, the score (one of `SCORES`) of training and validation
    over epochs. A dotted line stands at the best epoch, others where images grow."""
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    scores = [name for name in SCORES if name in rows[0]]
    panels = [("loss", 1), *((name, 100) for name in scores)]  # shares are drawn in percent
    figure = Figure(figsize=(4.5 * len(panels), 3.4), dpi=80)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    side = 0.14 / len(panels)
    figure.subplots_adjust(left=side, right=1 - side / 3, bottom=0.15, top=0.9, wspace=0.18)
    for axis, (name, factor) in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, name, factor)
    best = max(rows, key=lambda row: (*(row[f"val_{name}"] for name in scores), -row["val_loss"]))
    axes[-1].axvline(best["epoch"], color="grey", linewidth=0.8, linestyle=":")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _draw_panel(axis, rows: Sequence[dict[str, float]], name: str, factor: int) -> None:
    epochs = [row["epoch"] for row in rows]
    style = {"marker": "o", "markersize": 3} if len(rows) < 20 else {}
    for column, label in ((name, "training"), (f"val_{name}", "validation")):
        axis.plot(epochs, [factor * row[column] for row in rows], label=label, **style)
    title = name.replace("_", " ")
    axis.set_title(title if factor == 1 else f"{title} (%)")
    axis.set_xlabel("epoch")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    for row, following in itertools.pairwise(rows):
        if row.get("image_height") != following.get("image_height"):
            axis.axvline(following["epoch"] - 0.5, color="grey", linewidth=0.8)
