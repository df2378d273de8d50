# SPDX-License-Identifier: MIT
"""The operators of the exported graph in NumPy: what measures it, and what simulates float16, runs
on these."""

import contextlib
from collections.abc import Mapping

import numpy as np


class NumpyOps:
    """The operators of `keras_vit.export.forward` in NumPy; a stem of convolutions has none.

    Args:
        weights: those of the graph.
    """

    scope = staticmethod(contextlib.nullcontext)
    reshape = staticmethod(np.reshape)
    transpose = staticmethod(np.transpose)
    split = staticmethod(np.split)
    concatenate = staticmethod(np.concatenate)

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._weights = weights

    def rounded(self, x) -> np.ndarray:
        """What a tensor holds of a result."""
        return np.asarray(x)

    def has(self, name: str) -> bool:
        return name in self._weights

    def weight_shape(self, name: str) -> tuple[int, ...]:
        return self._weights[name].shape

    def weight(self, name: str) -> np.ndarray:
        return self.rounded(self._weights[name])

    def constant(self, name: str, array: np.ndarray) -> np.ndarray:
        return self.rounded(array)

    def number(self, value: float) -> np.ndarray:
        return self.rounded(value)

    def add(self, x, y):
        return self.rounded(x + y)

    def subtract(self, x, y):
        return self.rounded(x - y)

    def multiply(self, x, y):
        return self.rounded(x * y)

    def matmul(self, x, y, transpose_b: bool = False):
        return self.rounded(x @ (np.swapaxes(y, -1, -2) if transpose_b else y))

    def dense(self, x, name: str, columns: slice = slice(None)):
        y = x @ self.weight(f"{name}/kernel")[:, columns]
        bias = f"{name}/bias"
        return self.rounded(y + self.weight(bias)[columns] if self.has(bias) else y)

    def dense_transposed(self, x, name: str, columns: slice):
        return self.rounded(x @ self.weight(f"{name}/kernel")[:, columns].T)

    def rsqrt(self, x):
        return self.rounded(1 / np.sqrt(x))

    def log(self, x):
        return self.rounded(np.log(x))

    def tanh(self, x):
        return self.rounded(np.tanh(x))

    def relu6(self, x):
        return np.clip(x, 0, 6)

    def softmax(self, x):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return self.rounded(powers / powers.sum(axis=-1, keepdims=True))

    def activation(self, x, kind: str):
        if kind == "relu":
            return np.maximum(x, 0)
        if kind == "silu":
            return self.rounded(x * self.rounded(1 / (1 + np.exp(-x))))
        # The tanh form for both: they differ by less than 5e-4, half a step of float16 at 1.
        return self.rounded(0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))))

    def mean(self, x, axes: tuple[int, ...], keepdims: bool):
        return self.rounded(x.mean(axis=axes, keepdims=keepdims))

    def sum(self, x, axes: tuple[int, ...], keepdims: bool = False):
        return self.rounded(x.sum(axis=axes, keepdims=keepdims))

    def max(self, x, axis: int):
        return x.max(axis=axis, keepdims=True)

    def first(self, x, count: int, axis: int):
        return np.take(x, range(count), axis)

    def last(self, x, count: int, axis: int):
        return np.take(x, range(x.shape[axis] - count, x.shape[axis]), axis)

    def zeros_before(self, x, count: int):
        return np.pad(x, [(0, 0), (count, 0), (0, 0), (0, 0)])
