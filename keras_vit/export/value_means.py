# SPDX-License-Identifier: MIT
"""Values of attention without their mean, for files in which the weights of attention are int8.

Int8 has 255 steps from 0 to the largest weight of attention: of 257 tokens that are looked at
alike, each has about one step, and most small weights round to 0. What is lost then is a part of
the mean value. The rows of softmax sum to 1, so that a constant taken from all values is a constant
in what attention returns, and the bias of the layer after it gives it back: in float no output
changes, and in int8 a weight that is lost takes little with it.
"""

import dataclasses

import numpy as np

from keras_vit.export.folding import Folded
from keras_vit.export.forward import forward
from keras_vit.export.numpy_ops import NumpyOps

_IMAGES = 8  # each has a value for every token, and more images gain nothing


def without_value_means(folded: Folded, images: np.ndarray) -> Folded:
    """The weights of the same function, whose values have mean 0 over some images and all tokens.

    Args:
        folded: a model with a stem of convolutions, or with a norm between attention and the layer
            after it, is returned as it is.
        images: real ones, `(n, height, width, channels)`, 0 to 255; 8 of them are taken.
    """
    config = folded.config
    if config.resnet_stages is not None or config.attention_inner_norm:
        return folded
    if folded.values_have_mean_0:  # whoever writes several files measures once
        return folded
    ops = _Measuring(folded.weights)
    chosen = np.linspace(0, len(images) - 1, min(_IMAGES, len(images)), dtype=int)
    for i in chosen:
        forward(ops, config, np.asarray(images[i : i + 1], "float32"))
    weights = dict(folded.weights)
    for block, means in ops.means.items():
        mean = np.mean(means, axis=0)
        output = f"{block}/attention_output"
        off_values = np.concatenate([np.zeros(2 * len(mean)), -mean])  # queries, keys, values
        for name, change in (
            (f"{block}/qkv/bias", off_values),
            (f"{output}/bias", mean @ weights[f"{output}/kernel"]),
        ):
            weights[name] = np.asarray(weights.get(name, 0) + change, "float32")
    return dataclasses.replace(folded, weights=weights, values_have_mean_0=True)


class _Measuring(NumpyOps):
    """Remembers the mean of the values over the tokens of each image, by block."""

    def __init__(self, weights):
        super().__init__(weights)
        self.means: dict[str, list[np.ndarray]] = {}

    def dense(self, x, name: str, columns: slice = slice(None)):
        y = super().dense(x, name, columns)
        # Where the last block computes them one by one, no weight of attention is int8.
        if name.endswith("/qkv") and columns == slice(None):
            values = y[..., 2 * y.shape[-1] // 3 :].reshape(-1, y.shape[-1] // 3)
            self.means.setdefault(name.removesuffix("/qkv"), []).append(values.mean(axis=0))
        return y
