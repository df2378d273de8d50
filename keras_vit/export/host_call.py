# SPDX-License-Identifier: MIT
"""An exported file as a function inside a TensorFlow graph."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_vit.export.runner import Runner


def in_graph(run: Runner, num_classes: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes a runner usable on tensors; each call leaves the graph for the host.

    No gradient passes through it, and XLA cannot compile a graph that has it.

    Args:
        run: from pixels to logits, see `open_runner`.
        num_classes: length of its logits.

    Returns:
        A function from float32 `(batch, height, width, channels)`, 0 to 255, to float32
        `(batch, num_classes)`.
    """

    def on_host(images):
        return np.asarray(run(images), "float32")

    def call(images):
        logits = tf.numpy_function(on_host, [images], tf.float32)
        return tf.ensure_shape(logits, (images.shape[0], num_classes))

    return call
