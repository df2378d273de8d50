# SPDX-License-Identifier: MIT
"""Rematerialization: a layer keeps its input alone, and is computed again for its gradient.

Less memory for more time (arXiv 1604.06174, section 4): of a block, backpropagation keeps one
vector for each token instead of about twenty, and each train step has one more forward pass.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras


def recomputed(layer: keras.layers.Layer, call: Callable, x: Any) -> Any:
    """`call(x)`, of which backpropagation keeps `x`, and otherwise what `call` returns again.

    Args:
        layer: what is called. Each of its parts draws random numbers once at most.
        call: from a tensor to a tensor; its further arguments are bound.
        x: a tensor.
    """
    generators = _seed_generators(layer)
    seeds = [generator.next() for generator in generators]

    def again(x):
        with _repeating(generators, seeds):
            return call(x)

    remat = _on_tensorflow if keras.backend.backend() == "tensorflow" else keras.remat
    return remat(again)(x)


def _on_tensorflow(call: Callable) -> Callable:
    """What `keras.remat` does, one block after the other.

    TensorFlow runs what is ready, in any order. `tf.recompute_grad` does not hold second passes
    back: with it a step of Ti/16, batch 16, took 1,640 MB instead of 1,648
    (`benchmarks/training/step.py`).
    """
    import tensorflow as tf

    @tf.custom_gradient
    def value(x):
        def gradient(upstream, variables=()):
            with tf.GradientTape() as tape, tf.control_dependencies([upstream]):
                again = tf.identity(x)
                tape.watch(again)
                y = call(again)
            sources = [again, *variables]
            zero = tf.UnconnectedGradients.ZERO
            slope, *of_variables = tape.gradient(y, sources, upstream, unconnected_gradients=zero)
            # All of it before the block below is computed again, and before an update: TensorFlow's
            # graph optimizer may drop the edges by which this pass reads a variable before that.
            with tf.control_dependencies([slope, *of_variables]):
                return tf.identity(slope), [tf.identity(each) for each in of_variables]

        return call(x), gradient

    return value


def _seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Those of the layer's parts that have any: dropout of a rate above 0."""
    found = (getattr(part, "seed_generator", None) for part in layer._flatten_layers())
    return [generator for generator in found if generator is not None]


@contextlib.contextmanager
def _repeating(generators: list, seeds: list) -> Iterator[None]:
    """Has each generator give its seed instead of the next one: both passes drop the same numbers,
    and the state of the generator moves once, as it does without rematerialization."""
    for generator, seed in zip(generators, seeds, strict=True):
        generator.next = lambda ordered=True, seed=seed: seed
    try:
        yield
    finally:
        for generator in generators:
            del generator.next
