# SPDX-License-Identifier: MIT
"""The norms of a Vision Transformer: LayerNorm, or the root mean square alone."""

import keras
from keras import ops

from keras_vit.errors import unknown
from keras_vit.layers import fused

NORMS = ("layer", "rms")


@keras.saving.register_keras_serializable("keras_vit")
class RMSNorm(keras.layers.Layer):
    """Divides by the root mean square of the channels (arXiv 1910.07467, equation 4).

    The layer of Keras calls its variable `scale`; here the variables of all norms are called alike.

    Args:
        epsilon: is added to the mean square.

    Input and output: `(..., width)`.
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma = self.add_weight((input_shape[-1],), "ones", name="gamma")

    def call(self, x):
        return _rms_norm(x, self.gamma, self.epsilon)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def make_norm(kind: str, epsilon: float, **kwargs) -> keras.layers.Layer:
    """Makes a norm over the last axis.

    Args:
        kind: "layer" or "rms".
        epsilon: see the layers.
        **kwargs: `name`, `dtype`.
    """
    if kind not in NORMS:
        raise unknown("norm", kind, NORMS)
    make = keras.layers.LayerNormalization if kind == "layer" else RMSNorm
    return make(epsilon=epsilon, **kwargs)


def normalize(norm: keras.layers.Layer, x, training=None):
    """`norm(x)` of a norm that `make_norm` made.

    Args:
        norm: the layer, built.
        x: `(batch, tokens, width)`.
        training: whether this is a train step, of which it may become a loop (see `fused`).
    """
    if not fused.runs_here(x, training):
        return norm(x)
    if isinstance(norm, RMSNorm):
        return fused.fuse(_rms_norm, x, norm.gamma, epsilon=norm.epsilon)
    dtype = norm.compute_dtype
    return fused.fuse(_layer_norm, x, norm.gamma, norm.beta, epsilon=norm.epsilon, dtype=dtype)


def _layer_norm(x, gamma, beta, epsilon, dtype):
    """What `keras.layers.LayerNormalization` computes."""
    y = ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=epsilon)
    return ops.cast(y, dtype)


def _rms_norm(x, gamma, epsilon):
    # A sum of squares needs more than the 8 or 11 significant bits of half precision.
    y = ops.cast(x, "float32")
    y = y * ops.rsqrt(ops.mean(ops.square(y), axis=-1, keepdims=True) + epsilon)
    return ops.cast(y * ops.cast(gamma, "float32"), x.dtype)
