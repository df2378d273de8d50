# SPDX-License-Identifier: MIT
"""Keras' multi-head attention with the paper's first values, and QK-norm as a variant."""

import math

import keras

from keras_vit.layers.composite import Composite


@keras.saving.register_keras_serializable("keras_vit")
class QKNormAttention(Composite, keras.layers.MultiHeadAttention):
    """Multi-head attention with a LayerNorm of each head's queries and keys (arXiv 2302.05442).

    Args:
        norm_epsilon: epsilon of the two LayerNorms.
        **kwargs: arguments of `keras.layers.MultiHeadAttention`.
    """

    def __init__(self, *args, norm_epsilon: float = 1e-6, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm_epsilon = norm_epsilon

    def build(self, query_shape, value_shape, key_shape=None):
        super().build(query_shape, value_shape, key_shape)
        per_head = (None, None, self.num_heads, self.key_dim)
        for name in ("query_norm", "key_norm"):
            norm = keras.layers.LayerNormalization(
                epsilon=self.norm_epsilon, name=name, dtype=self.dtype_policy
            )
            norm.build(per_head)
            setattr(self, name, norm)
        self.restore_quantization()

    def _compute_attention(self, query, key, value, *args, **kwargs):  # Keras' documented hook
        return super()._compute_attention(
            self.query_norm(query), self.key_norm(key), value, *args, **kwargs
        )

    def get_config(self):
        return {**super().get_config(), "norm_epsilon": self.norm_epsilon}


def multi_head_attention(
    width: int,
    num_heads: int,
    dropout: float = 0.0,
    qk_norm: bool = False,
    norm_epsilon: float = 1e-6,
    **kwargs,
) -> keras.layers.MultiHeadAttention:
    """Makes the attention layer of a Transformer block.

    Args:
        width: size of a token.
        num_heads: number of heads; it divides the width.
        dropout: rate on the attention weights, 0 to 1.
        qk_norm: whether to use `QKNormAttention`.
        norm_epsilon: epsilon of QK-norm.
        **kwargs: `name`, `dtype`.
    """
    # Glorot uniform of the (width, width) matrix, spelled out: Keras before 3.15 took the kernels
    # (width, heads, head_dim) for convolutions and drew them up to six times too small.
    limit = math.sqrt(6 / (width + width))
    options = {
        "num_heads": num_heads,
        "key_dim": width // num_heads,
        "dropout": dropout,
        "kernel_initializer": keras.initializers.RandomUniform(-limit, limit),
        **kwargs,
    }
    if qk_norm:
        return QKNormAttention(norm_epsilon=norm_epsilon, **options)
    return keras.layers.MultiHeadAttention(**options)
