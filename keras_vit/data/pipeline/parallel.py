# SPDX-License-Identifier: MIT
"""How tf.data computes on all cores: by as many calls at a time as there are threads, untuned.

Autotuning comes to the number of cores as well, from below. Its thread sleeps ever longer, up to a
minute, and now and then is not woken when its iterator is to go, which then waits for it: 0.5 to 5
seconds after runs of as many (`Model::OptimizeLoop`, TensorFlow 2.21).
"""

from collections.abc import Callable

import tensorflow as tf

from keras_vit import hardware

_AHEAD = 2  # batches that are ready before they are asked for


def mapped(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """`dataset.map` on all cores, in order."""
    return dataset.map(function, num_parallel_calls=hardware.threads(), deterministic=True)


def ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches that are made while the caller computes."""
    return untuned(batches.prefetch(_AHEAD))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same elements, without the thread that would tune how they are made."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
