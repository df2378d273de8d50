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
        y = _over_root_mean_square(x, self.epsilon)
        return ops.cast(y * ops.cast(self.gamma, y.dtype), x.dtype)

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
        return fused.fuse(_over_root_mean_square, x, scale=norm.gamma, epsilon=norm.epsilon)
    return fused.fuse(_standardized, x, scale=norm.gamma, shift=norm.beta, epsilon=norm.epsilon)


def _over_root_mean_square(x, epsilon):
    x = _wide(x)
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + epsilon)


def _standardized(x, epsilon):
    """LayerNorm before its scale and shift (arXiv 1607.06450, equation 3)."""
    x = _wide(x)
    return _over_root_mean_square(x - ops.mean(x, axis=-1, keepdims=True), epsilon)


def _wide(x):
    """A sum of squares needs more than the 8 or 11 significant bits of half precision."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
