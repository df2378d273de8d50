# SPDX-License-Identifier: MIT
"""Room for float16 in the residual stream: the stream of the exported graph, divided by 2^k.

A trained Vision Transformer has a few channels of a hundred times the size of the others
(arXiv 2402.17762). LayerNorm squares them, and the square of 256 is infinite in float16. Whoever
reads the stream is a LayerNorm, which does not see a factor if its epsilon has the square of it.
Where nothing is that large, nothing is divided: float16 has a limit for small numbers too, so that
logits move more the larger a channel is (`tests/export/test_half.py` says by how much).
"""

import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_vit.models import blocks

_LARGEST = 64.0  # a quarter of what may be squared: other images may have larger numbers
_WRITERS = re.compile(r"(patches|tokens|block_\d+/(attention_output|mlp_output))/")


def residual_scale(model: keras.Model) -> float:
    """The power of two, at most 1, that leaves the residual stream at 64 or less.

    Measured after every block, on an image of noise and a grey one: channels that are large are
    so for every image.

    Args:
        model: a model built by `keras_vit.vit`.
    """
    layers = [model.get_layer("patch_encoder"), *blocks(model)]
    streams = keras.Function(model.input, [layer.output for layer in layers])
    streams = streams(_pictures(model.input.shape[1:]))
    largest = max(float(np.max(np.abs(keras.ops.convert_to_numpy(x)))) for x in streams)
    if not _LARGEST < largest < np.inf:  # weights that are NaN are reported elsewhere
        return 1.0
    return 2.0 ** -np.ceil(np.log2(largest / _LARGEST))


def scaled(weights: Mapping[str, np.ndarray], scale: float, epsilon: float) -> dict:
    """The weights of a graph whose residual stream is multiplied by `scale`.

    Args:
        weights: those of `keras_vit.export.folding`.
        scale: a power of two, so that no weight is rounded.
        epsilon: that of the model's LayerNorms.

    Returns:
        The weights, and `residual/epsilon`, for a LayerNorm that reads the stream.
    """
    found = {name: a * scale if _WRITERS.match(name) else a for name, a in weights.items()}
    return found | {"residual/epsilon": np.float64(epsilon * scale**2)}


def _pictures(shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, shape)
    return np.stack([noise, np.full(shape, 127.5)]).astype("float32")
