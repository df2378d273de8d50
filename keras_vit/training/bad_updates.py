# SPDX-License-Identifier: MIT
"""What is done about numbers that are not finite: the run ends, or leaves out such updates."""

import math

import keras
import numpy as np
from keras import ops

from keras_vit.training.exceptions import NonFiniteLoss
from keras_vit.training.state import metric_values, set_metric_values, to_array

LIMIT = 100  # skipped updates in a row after which a run is lost


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


def skip_bad_updates(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Makes a built optimizer leave out every update with a gradient that is NaN or infinite.

    Such an update changes nothing at all: weights, moments, averages and the step of the schedule
    stay. `optimizer.skipped` and `optimizer.skipped_in_a_row`, int32 variables, count them.

    Returns:
        The same optimizer.
    """
    kind = type(optimizer)
    optimizer.__class__ = type(f"{kind.__name__}SkippingBadUpdates", (_Skipping, kind), {})
    optimizer.skipped = optimizer.add_variable((), dtype="int32", name="skipped")
    optimizer.skipped_in_a_row = optimizer.add_variable((), dtype="int32", name="skipped_in_a_row")
    return optimizer


class _Skipping:
    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        weights = self._trainable_variables if trainable_variables is None else trainable_variables
        variables = [*weights, *self.variables]
        before = [ops.copy(variable) for variable in variables]
        good = ops.all(
            ops.stack([ops.all(ops.isfinite(grad)) for grad in grads if grad is not None])
        )
        super().apply(grads, trainable_variables)
        for variable, old in zip(variables, before, strict=True):
            variable.assign(ops.where(good, variable.value, old))
        bad = ops.cast(ops.logical_not(good), "int32")
        self.skipped.assign_add(bad)
        self.skipped_in_a_row.assign((self.skipped_in_a_row + bad) * bad)


class CountBadUpdates(keras.callbacks.Callback):
    """Keeps the running means free of steps whose loss is not finite, and ends a hopeless run.

    Raises `NonFiniteLoss` after `LIMIT` skipped updates in a row.
    """

    def __init__(self):
        super().__init__()
        self.skipped = 0  # in the whole run
        self._means = None

    def on_epoch_begin(self, epoch, logs=None):
        self.skipped = int(to_array(self.model.optimizer.skipped))
        self._means = metric_values(self.model)

    def on_train_batch_end(self, batch, logs=None):
        model = self.model
        means = metric_values(model)
        if not all(np.isfinite(value).all() for value in means):
            set_metric_values(model, self._means)
        else:
            self._means = means
        self.skipped = int(to_array(model.optimizer.skipped))
        if int(to_array(model.optimizer.skipped_in_a_row)) >= LIMIT:
            raise NonFiniteLoss(
                f"{LIMIT} updates in a row had gradients that are not finite and were skipped. Try "
                "a lower optimizer.learning_rate, or look for images with extreme values."
            )
