# SPDX-License-Identifier: MIT
"""Attention as the paper has it, in the graph of a train step on TensorFlow; see `fused`."""

from typing import Any

import keras

from keras_vit.layers import fused


def self_attention(x: Any, kernels: list, biases: list) -> Any:
    """The heads' sums of values, side by side: attention without its last dense layer.

    Args:
        x: `(batch, tokens, width)`.
        kernels: of queries, keys and values, each `(width, heads, head_dim)`.
        biases: likewise, each `(heads, head_dim)` or None.

    Returns:
        `(batch, tokens, width)`.
    """
    import tensorflow as tf

    width, heads = x.shape[-1], kernels[0].shape[1]
    kernel = tf.concat([tf.reshape(k, (width, width)) for k in kernels], axis=1)  # (D, 3 D)
    bias = None
    if any(b is not None for b in biases):
        zeros = tf.zeros(width, kernel.dtype)
        bias = tf.concat([zeros if b is None else tf.reshape(b, [width]) for b in biases], axis=0)
    q, k, v = _split_heads(fused.dense(x, kernel, bias), heads)  # each (B, H, T, d)
    return _attend(q, k, v)


def _split_heads(x: Any, heads: int) -> Any:
    """Queries, keys and values `(batch, heads, tokens, head_dim)` of `(batch, tokens, 3 width)`."""
    import tensorflow as tf

    @tf.custom_gradient
    def value(x):
        def gradient(*upstream):  # TensorFlow turns axes faster than XLA, which slices faster
            y = tf.transpose(tf.concat(upstream, axis=1), (0, 2, 1, 3))  # (B, T, 3 H, d)
            return tf.reshape(y, (*fused.batch_and_tokens(y), x.shape[-1]))

        return fused.compiled(_slices_of_heads)(x, heads=heads), gradient

    return value(x)


def _slices_of_heads(x: Any, heads: int) -> tuple:
    import tensorflow as tf

    x = tf.reshape(x, (*fused.batch_and_tokens(x), 3 * heads, x.shape[-1] // (3 * heads)))
    return tuple(tf.split(tf.transpose(x, (0, 2, 1, 3)), 3, axis=1))


def _attend(q: Any, k: Any, v: Any) -> Any:
    """softmax(q kᵀ / sqrt(d)) v, the heads side by side: `(batch, tokens, width)`.

    Its gradient takes the sums of a row over all keys from the output (arXiv 2205.14135, appendix
    B.2), which has 64 numbers for each query where the weights have one for each token.
    """
    import tensorflow as tf

    scale = q.shape[-1] ** -0.5

    @tf.custom_gradient
    def value(q, k, v):
        scores = tf.matmul(q, k, transpose_b=True)  # (B, H, T, T)
        weights = _softmax(scores, scale)
        y = _joined(tf.matmul(weights, v))  # (B, T, D)

        def gradient(dy):
            by_head, sums = fused.compiled(_heads_and_sums)(dy, y, heads=q.shape[1])
            slope = tf.matmul(by_head, v, transpose_b=True)  # (B, H, T, T), of the weights
            # Of the scores:
            slope = fused.compiled(_softmax_slope)(slope, weights, sums, factor=scale)
            return (
                tf.matmul(slope, k),
                tf.matmul(slope, q, transpose_a=True),
                tf.matmul(weights, by_head, transpose_a=True),
            )

        return y, gradient

    return value(q, k, v)


def _softmax(scores: Any, scale: float) -> Any:
    """Over the last axis, in float32 at least, as `keras.ops.dot_product_attention` does."""
    import tensorflow as tf

    wide = tf.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    return tf.cast(tf.nn.softmax(wide * tf.cast(scale, wide.dtype)), scores.dtype)


def _softmax_slope(slope: Any, weights: Any, sums: Any, factor: float) -> Any:
    return weights * (slope - sums) * factor


def _joined(x: Any) -> Any:
    """`(batch, heads, tokens, head_dim)` as `(batch, tokens, width)`."""
    import tensorflow as tf

    x = tf.transpose(x, (0, 2, 1, 3))
    return tf.reshape(x, (*fused.batch_and_tokens(x), x.shape[2] * x.shape[3]))


def _heads_and_sums(slope: Any, y: Any, heads: int) -> tuple:
    """A slope by its heads `(B, H, T, d)`, and the sums of its products with `y` `(B, H, T, 1)`."""
    import tensorflow as tf

    shape = (*fused.batch_and_tokens(y), heads, y.shape[-1] // heads)
    sums = tf.reduce_sum(tf.reshape(slope * y, shape), axis=-1, keepdims=True)
    return tuple(tf.transpose(tf.reshape(z, (*shape[:3], -1)), (0, 2, 1, 3)) for z in (slope, sums))
