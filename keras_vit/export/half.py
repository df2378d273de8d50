# SPDX-License-Identifier: MIT
"""The exported graph in float16, as the GPU of a phone computes it, simulated in NumPy.

LiteRT computes in float16 on most GPUs, float32 files included. What a tensor holds is rounded
after each operator, and what is above 65,504 is infinite; sums are taken in float32, as ML Drift
takes them. A software GPU computes in float32 and cannot show it.
"""

import contextlib
from collections.abc import Mapping

import numpy as np

from keras_vit.export.folding import Folded
from keras_vit.export.forward import forward


def half_logits(folded: Folded, images: np.ndarray) -> np.ndarray | None:
    """Logits of the graph in simulated float16.

    Args:
        folded: the weights of the exported graph.
        images: pixels, `(n, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(n, classes)`, NaN where a number overflowed; None for a hybrid, whose
        convolutions are not simulated.
    """
    if folded.config.resnet_stages is not None:
        return None
    with np.errstate(all="ignore"):  # what overflows is the answer
        found = forward(HalfOps(folded.weights), folded.config, _half(images))
    return found["logits"].astype("float32")


def _half(x) -> np.ndarray:
    """Rounded to float16; what overflows is NaN and stays it.

    An infinite variance would make a row of zeros, which looks like an answer.
    """
    x = np.asarray(x).astype("float16").astype("float32")
    return np.where(np.isinf(x), np.float32(np.nan), x)


class HalfOps:
    """The operators of `keras_vit.export.forward`, each result rounded to float16."""

    scope = staticmethod(contextlib.nullcontext)
    reshape = staticmethod(np.reshape)
    transpose = staticmethod(np.transpose)
    split = staticmethod(np.split)
    concatenate = staticmethod(np.concatenate)

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._weights = weights

    def has(self, name: str) -> bool:
        return name in self._weights

    def weight_shape(self, name: str) -> tuple[int, ...]:
        return self._weights[name].shape

    def weight(self, name: str) -> np.ndarray:
        return _half(self._weights[name])

    def constant(self, name: str, array: np.ndarray) -> np.ndarray:
        return _half(array)

    def number(self, value: float) -> np.ndarray:
        return _half(value)

    def add(self, x, y):
        return _half(x + y)

    def subtract(self, x, y):
        return _half(x - y)

    def multiply(self, x, y):
        return _half(x * y)

    def matmul(self, x, y, transpose_b: bool = False):
        return _half(x @ (np.swapaxes(y, -1, -2) if transpose_b else y))

    def dense(self, x, name: str, columns: slice = slice(None)):
        y = x @ self.weight(f"{name}/kernel")[:, columns]
        bias = f"{name}/bias"
        return _half(y + self.weight(bias)[columns] if self.has(bias) else y)

    def dense_transposed(self, x, name: str, columns: slice):
        return _half(x @ self.weight(f"{name}/kernel")[:, columns].T)

    def rsqrt(self, x):
        return _half(1 / np.sqrt(x))

    def tanh(self, x):
        return _half(np.tanh(x))

    def softmax(self, x):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return _half(powers / powers.sum(axis=-1, keepdims=True))

    def activation(self, x, kind: str):
        if kind == "relu":
            return np.maximum(x, 0)
        if kind == "silu":
            return _half(x * _half(1 / (1 + np.exp(-x))))
        # The tanh form for both: they differ by less than 5e-4, half a step of float16 at 1.
        return _half(0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))))

    def mean(self, x, axes: tuple[int, ...], keepdims: bool):
        return _half(x.mean(axis=axes, keepdims=keepdims))

    def sum(self, x, axes: tuple[int, ...]):
        return _half(x.sum(axis=axes))

    def first(self, x, count: int, axis: int):
        return np.take(x, range(count), axis)

    def last(self, x, count: int, axis: int):
        return np.take(x, range(x.shape[axis] - count, x.shape[axis]), axis)

    def zeros_before(self, x, count: int):
        return np.pad(x, [(0, 0), (count, 0), (0, 0), (0, 0)])
