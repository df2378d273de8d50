# SPDX-License-Identifier: MIT
"""The operators of `keras_vit.export.forward` in TensorFlow."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


class TensorFlowOps:
    """Operators and weights.

    Args:
        weights: tensors or variables by name.
    """

    scope = staticmethod(tf.name_scope)
    reshape = staticmethod(tf.reshape)
    transpose = staticmethod(tf.transpose)
    add = staticmethod(tf.add)
    subtract = staticmethod(tf.subtract)
    multiply = staticmethod(tf.multiply)
    rsqrt = staticmethod(tf.math.rsqrt)
    softmax = staticmethod(tf.nn.softmax)
    tanh = staticmethod(tf.tanh)
    log = staticmethod(tf.math.log)
    relu = staticmethod(tf.nn.relu)
    relu6 = staticmethod(tf.nn.relu6)
    split = staticmethod(tf.split)
    concatenate = staticmethod(tf.concat)
    matmul = staticmethod(tf.matmul)

    def __init__(self, weights: Mapping[str, tf.Variable]):
        self._weights = weights

    def weight(self, name: str):
        return tf.convert_to_tensor(self._weights[name])

    def has(self, name: str) -> bool:
        return name in self._weights

    def weight_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._weights[name].shape)

    def constant(self, name: str, array: np.ndarray):
        return tf.constant(array, tf.float32, name=name)

    def number(self, value: float):
        return tf.constant(value, tf.float32)

    def dense(self, x, name: str, columns: slice = slice(None)):
        """x @ kernel + bias, of these columns."""
        kernel, bias = f"{name}/kernel", f"{name}/bias"
        x = tf.matmul(x, self._columns(kernel, columns))
        return tf.nn.bias_add(x, self._columns(bias, columns)) if self.has(bias) else x

    def dense_transposed(self, x, name: str, columns: slice):
        """x @ kernel^T, of these columns."""
        return tf.matmul(x, self._columns(f"{name}/kernel", columns), transpose_b=True)

    def activation(self, x, kind: str):
        if kind == "relu":
            return tf.nn.relu(x)
        if kind == "silu":  # LiteRT has no operator of this name
            return x * tf.sigmoid(x)
        if kind == "gelu_tanh":
            return tf.nn.gelu(x, approximate=True)
        # The form that LiteRT recognises; tf.nn.gelu has erfc.
        return 0.5 * x * (1.0 + tf.math.erf(x * 0.7071067811865476))

    def mean(self, x, axes: tuple[int, ...], keepdims: bool):
        return tf.reduce_mean(x, axes, keepdims=keepdims)

    def sum(self, x, axes: tuple[int, ...], keepdims: bool = False):
        return tf.reduce_sum(x, axes, keepdims=keepdims)

    def max(self, x, axis: int):
        return tf.reduce_max(x, axis, keepdims=True)

    def first(self, x, count: int, axis: int):
        return _slice(x, axis, 0, count)

    def last(self, x, count: int, axis: int):
        return _slice(x, axis, x.shape[axis] - count, count)

    def zeros_before(self, x, count: int):
        return tf.pad(x, [[0, 0], [count, 0], [0, 0], [0, 0]])

    def every_second(self, x):
        """Every second row and column of maps, from the first on."""
        return x[:, ::2, ::2]

    def convolve(self, x, name: str, stride: int):
        return tf.nn.conv2d(x, self._weights[name], stride, "SAME")

    def max_pool(self, x, size: int, stride: int):
        return tf.nn.max_pool2d(x, size, stride, "SAME")

    def _columns(self, name: str, columns: slice):
        weight = self._weights[name]
        return weight if columns == slice(None) else weight[..., columns]  # a copy at each call


def _slice(x, axis: int, begin: int, count: int):
    # Sizes that are known are spelled out: XNNPACK leaves a slice with -1 to slower kernels.
    sizes = [-1 if size is None else size for size in x.shape]
    sizes[axis] = count
    begins = [0] * len(sizes)
    begins[axis] = begin
    return tf.slice(x, begins, sizes)
