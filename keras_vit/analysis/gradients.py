# SPDX-License-Identifier: MIT
"""Gradients with respect to tensors, which Keras leaves to its backends."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_vit.errors import UserError


def gradients(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
    """Derivatives of a scalar.

    Args:
        function: makes a scalar tensor of the inputs.
        inputs: float tensors.

    Returns:
        A tensor like each of the inputs.
    """
    tensors = [keras.ops.convert_to_tensor(value) for value in inputs]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return tape.gradient(value, tensors, unconnected_gradients="zero")
    if backend == "jax":
        import jax

        return list(jax.grad(lambda arguments: function(*arguments))(tensors))
    raise UserError(
        f"explanations: expected Keras on TensorFlow or JAX, received {backend!r}. "
        "Set KERAS_BACKEND=tensorflow."
    )
