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
            slopes, of_scale, _ = loop(upstream, *tensors, scale=given.get("scale"), **options)
            rows = {"scale": of_scale, "shift": upstream}
            return *slopes, *(tf.cast(_column_sums(rows[n]), v.dtype) for n, v in given.items())

        return compiled(function)(*tensors, **given, **options), gradient

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
    return tf.reshape(y, (*batch_and_tokens(x), y.shape[-1]))


def dense_of(function: Callable, *tensors: Any, kernel: Any, bias: Any = None, **options: Any):
    """`dense(fuse(function, *tensors, **options), kernel, bias)`, which keeps the tensors alone.

    The gradient of the kernel needs the value of the function: the loop that computes the gradient
    of the function returns it again, so that it is not kept from the forward pass.

    Args:
        function, tensors, options: see `fuse`.
        kernel, bias: see `dense`.

    Returns:
        `(batch, tokens, units)`.
    """
    import tensorflow as tf

    has_bias = bias is not None

    @tf.custom_gradient
    def value(*arguments):
        *tensors, kernel, bias = arguments if has_bias else (*arguments, None)

        def gradient(upstream):
            rows = tf.reshape(upstream, (-1, upstream.shape[-1]))  # (B T, units)
            slope = tf.matmul(rows, kernel, transpose_b=True)  # (B T, width)
            slope = tf.reshape(slope, (*batch_and_tokens(upstream), slope.shape[-1]))
            loop = _gradient_loop(function, again=True)
            slopes, _, again = loop(slope, *tensors, **options)
            again = tf.reshape(again, (-1, again.shape[-1]))
            of_kernel = tf.matmul(again, rows, transpose_a=True)
            return *slopes, of_kernel, *([_column_sums(upstream)] if has_bias else [])

        return dense(compiled(function)(*tensors, **options), kernel, bias), gradient

    return value(*map(tf.convert_to_tensor, (*tensors, kernel, *([bias] if has_bias else []))))


def batch_and_tokens(x: Any) -> tuple[int, int]:
    """The first two sizes; -1 for a batch of any size."""
    return -1 if x.shape[0] is None else x.shape[0], x.shape[1]


@functools.cache
def compiled(function: Callable) -> Callable:
    """Of a function that returns several tensors, without scale or shift; or see `fuse`."""
    import tensorflow as tf

    def loop(*tensors, scale=None, shift=None, **options):
        value = function(*tensors, **options)
        value = value if scale is None else value * tf.cast(scale, value.dtype)
        value = value if shift is None else value + tf.cast(shift, value.dtype)
        return value if isinstance(value, tuple) else tf.cast(value, tensors[0].dtype)

    return tf.function(loop, autograph=False, jit_compile=True)


@functools.cache
def _gradient_loop(function: Callable, again: bool = False) -> Callable:
    """From the gradient of its value: those of its tensors, that of the scale at each token, and if
    wanted the value again."""
    import tensorflow as tf

    def gradient(upstream, *tensors, scale=None, **options):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors, **options)
        upstream = tf.cast(upstream, value.dtype)
        of_scale = None if scale is None else upstream * value
        upstream = upstream if scale is None else upstream * tf.cast(scale, value.dtype)
        slopes = tape.gradient(value, tensors, output_gradients=upstream)
        return slopes, of_scale, tf.cast(value, tensors[0].dtype) if again else None

    return tf.function(gradient, autograph=False, jit_compile=True)
