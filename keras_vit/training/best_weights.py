# SPDX-License-Identifier: MIT
"""Which weights a run keeps: those of the best epoch, or the average of those of many steps."""

import math
from collections.abc import Callable
from pathlib import Path

import keras

from keras_vit.training.exceptions import NonFiniteLoss
from keras_vit.training.history import SCORES


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
        self.best: tuple[float, ...] | None = None
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


class SwapAverages(keras.callbacks.SwapEMAWeights):
    """Swaps at each validation and epoch end as Keras does, but without rounding.

    On TensorFlow, Keras swaps by adding and subtracting, which moves weights in their last bits;
    here values are copied, on every backend.
    """

    def __init__(self):
        super().__init__(swap_on_epoch=True)

    def _tf_swap_variables(self, optimizer):
        self._backend_swap_variables(optimizer)

    def put_back(self):
        """Leaves the weights themselves in the model."""
        if self._ema_weights_in_model:
            self._swap_variables()
            self._ema_weights_in_model = False
