# SPDX-License-Identifier: MIT
"""Everything that a train step changes, as arrays, and back.

That is the weights, the seeds of dropout and stochastic depth, the optimizer with its moments and
averages, and the running means of the epoch (loss and metrics).
"""

import re
from collections.abc import Sequence

import keras
import numpy as np

from keras_vit.errors import UserError
from keras_vit.run_folder import RunFolder


def build_metrics(model: keras.Model, batches) -> None:
    """Makes the variables of the compiled metrics, which Keras on TensorFlow otherwise makes in the
    first train step.

    Args:
        model: a compiled model.
        batches: a `tf.data.Dataset` of what it works on; no batch is drawn.
    """
    batch = keras.tree.map_structure(
        lambda spec: np.zeros([n or 1 for n in spec.shape], spec.dtype.as_numpy_dtype),
        batches.element_spec,
    )
    model._symbolic_build(data_batch=batch)


def capture(model: keras.Model) -> dict[str, np.ndarray]:
    """The value of every variable of model, optimizer and metrics, by `NUMBER PATH`."""
    return {name: to_array(variable) for name, variable in _named(model).items()}


def restore(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Assigns what `capture` returned; `build_metrics` comes first.

    Raises:
        UserError: when the variables differ in name or shape.
    """
    variables = _named(model)
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in arrays.items() if array.dtype.kind in "biuf"}
    if expected != received:
        differing = sorted(set(expected.items()) ^ set(received.items()))
        raise UserError(
            "the checkpoint is of another model or of another version of the software: "
            f"{len(differing)} variables differ, first {differing[0][0]}. Resume with the versions "
            f"that {RunFolder.environment_file.name} of the run lists."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def metric_values(model: keras.Model) -> list[np.ndarray]:
    """The running sums of which the logged means of the epoch are made."""
    return [to_array(variable) for variable in model.metrics_variables]


def set_metric_values(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Assigns what `metric_values` returned."""
    for variable, value in zip(model.metrics_variables, values, strict=True):
        variable.assign(value)


def to_array(variable: keras.Variable) -> np.ndarray:
    """A copy: the backend may update its own buffer in place."""
    # To a tensor first: where TensorFlow has a copy on each device, a variable is no array.
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))


def _named(model: keras.Model) -> dict[str, keras.Variable]:
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    unique = {id(variable): variable for variable in every}.values()
    # Keras numbers names within a process (adamw_1): the position tells variables apart instead.
    return {f"{i:05d} {re.sub(r'_[0-9]+', '', v.path)}": v for i, v in enumerate(unique)}
