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
        call: from a tensor to a tensor. Its further arguments are bound: TensorFlow recomputes
            functions of positional arguments only.
        x: a tensor.
    """
    generators = _seed_generators(layer)
    seeds = [generator.next() for generator in generators]

    def again(x):
        with _repeating(generators, seeds):
            return call(x)

    return keras.remat(again)(x)


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
