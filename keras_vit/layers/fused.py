# SPDX-License-Identifier: MIT
"""Parts of a block in the graph of a train step on TensorFlow: few loops that keep little.

Between two products of matrices, each operation of Keras is a loop over memory of its own, and its
gradient keeps what it returned: four arrays for a GELU. Here, what stands between two products is
one loop that XLA compiles, and its gradient another, which computes anew what it needs. A loop is
compiled once for each shape, and all blocks share it. The products stay TensorFlow's.

The layers choose: what is defined here are the same functions, and `tests/layers/test_fused.py`
compares both. Evaluation, exports and other backends take the operations of Keras.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras

_LEAST_NUMBERS = 2**16  # in an array: to compile a loop takes longer than it saves on small ones


def runs_here(x: Any, training: Any) -> bool:
    """Whether a layer is called in the graph of a train step that gains by this.

    Args:
        x: what the layer is called with; its shape is known, but perhaps for the batch.
        training: the argument of that call.
    """
    if training is not True or keras.backend.backend() != "tensorflow" or None in x.shape[1:]:
        return False
    import tensorflow as tf

    if tf.executing_eagerly() or not tf.test.is_built_with_xla():
        return False
    # XLA does not compile for the devices that `tf.distribute` divides a CPU into.
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    return alone and x.shape[0] is not None and x.shape.num_elements() >= _LEAST_NUMBERS


def fuse(function: Callable, *tensors: Any, scale: Any = None, shift: Any = None, **options: Any):
    """`function(*tensors, **options) * scale + shift` as a compiled loop, its gradient as another.

    Args:
        function: of Keras' or TensorFlow's operations; defined in a module, as the loop is kept by
            it. It may return more precise numbers than it is given.
        *tensors: `(batch, tokens, width)`; what it is differentiated by, and all that its gradient
            keeps.
        scale, shift: `(width,)`, or None for 1 and 0.
        **options: numbers and strings.

    Returns:
        A tensor of the shape and dtype of the first one.
    """
    import tensorflow as tf

    vectors = {"scale": scale, "shift": shift}
    vectors = {n: tf.convert_to_tensor(v) for n, v in vectors.items() if v is not None}

    @tf.custom_gradient
    def value(*arguments):
        tensors = arguments[: len(arguments) - len(vectors)]
        given = dict(zip(vectors, arguments[len(tensors) :], strict=True))

        def gradient(upstream):
            loop = _gradient_loop(function)
            slopes, of_scale = loop(upstream, *tensors, scale=given.get("scale"), **options)
            rows = {"scale": of_scale, "shift": upstream}
            return *slopes, *(tf.cast(_column_sums(rows[n]), v.dtype) for n, v in given.items())

        return _loop(function)(*tensors, **given, **options), gradient

    return value(*map(tf.convert_to_tensor, tensors), *vectors.values())


def _column_sums(x: Any) -> Any:
    """`(width,)` of `(batch, tokens, width)`: XLA's sums over rows are slow on a CPU."""
    import tensorflow as tf

    return tf.raw_ops.BiasAddGrad(out_backprop=tf.reshape(x, (-1, x.shape[-1])))


def dense(x: Any, kernel: Any, bias: Any = None) -> Any:
    """`x @ kernel + bias` as one product of two matrices.

    Args:
        x: `(batch, tokens, width)`.
        kernel: `(width, units)`.
        bias: `(units,)`, or None.

    Returns:
        `(batch, tokens, units)`.
    """
    import tensorflow as tf

    y = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), tf.convert_to_tensor(kernel))  # (B T, units)
    y = y if bias is None else tf.nn.bias_add(y, tf.convert_to_tensor(bias))
    return tf.reshape(y, (*_batch_and_tokens(x), y.shape[-1]))


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
    q, k, v = _split_heads(dense(x, kernel, bias), heads)  # each (B, H, T, d)
    return _attend(q, k, v)


def _split_heads(x: Any, heads: int) -> Any:
    """Queries, keys and values `(batch, heads, tokens, head_dim)` of `(batch, tokens, 3 width)`."""
    import tensorflow as tf

    @tf.custom_gradient
    def value(x):
        def gradient(*upstream):  # TensorFlow turns axes faster than XLA, which slices faster
            y = tf.transpose(tf.concat(upstream, axis=1), (0, 2, 1, 3))  # (B, T, 3 H, d)
            return tf.reshape(y, (*_batch_and_tokens(y), x.shape[-1]))

        return _loop(_slices_of_heads)(x, heads=heads), gradient

    return value(x)


def _slices_of_heads(x: Any, heads: int) -> tuple:
    import tensorflow as tf

    x = tf.reshape(x, (*_batch_and_tokens(x), 3 * heads, x.shape[-1] // (3 * heads)))
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
            by_head, sums = _loop(_heads_and_sums)(dy, y, heads=q.shape[1])
            slope = tf.matmul(by_head, v, transpose_b=True)  # (B, H, T, T), of the weights
            slope = _loop(_softmax_slope)(slope, weights, sums, factor=scale)  # of the scores
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
    return tf.reshape(x, (*_batch_and_tokens(x), x.shape[2] * x.shape[3]))


def _heads_and_sums(slope: Any, y: Any, heads: int) -> tuple:
    """A slope by its heads `(B, H, T, d)`, and the sums of its products with `y` `(B, H, T, 1)`."""
    import tensorflow as tf

    shape = (*_batch_and_tokens(y), heads, y.shape[-1] // heads)
    sums = tf.reduce_sum(tf.reshape(slope * y, shape), axis=-1, keepdims=True)
    return tuple(tf.transpose(tf.reshape(z, (*shape[:3], -1)), (0, 2, 1, 3)) for z in (slope, sums))


def _batch_and_tokens(x: Any) -> tuple[int, int]:
    """The first two sizes; -1 for a batch of any size."""
    return -1 if x.shape[0] is None else x.shape[0], x.shape[1]


@functools.cache
def _loop(function: Callable) -> Callable:
    """Of a function that returns several tensors, without scale or shift; or see `fuse`."""
    import tensorflow as tf

    def loop(*tensors, scale=None, shift=None, **options):
        value = function(*tensors, **options)
        value = value if scale is None else value * tf.cast(scale, value.dtype)
        value = value if shift is None else value + tf.cast(shift, value.dtype)
        return value if isinstance(value, tuple) else tf.cast(value, tensors[0].dtype)

    return tf.function(loop, autograph=False, jit_compile=True)


@functools.cache
def _gradient_loop(function: Callable) -> Callable:
    """From the gradient of its value: those of its tensors, and of the scale at each token."""
    import tensorflow as tf

    def gradient(upstream, *tensors, scale=None, **options):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors, **options)
        upstream = tf.cast(upstream, value.dtype)
        of_scale = None if scale is None else upstream * value
        upstream = upstream if scale is None else upstream * tf.cast(scale, value.dtype)
        return tape.gradient(value, tensors, output_gradients=upstream), of_scale

    return tf.function(gradient, autograph=False, jit_compile=True)
