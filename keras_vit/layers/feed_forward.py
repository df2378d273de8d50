# SPDX-License-Identifier: MIT
"""The MLP of a Transformer block."""

import keras
from keras import ops

from keras_vit.errors import unknown
from keras_vit.layers.composite import Composite

ACTIVATIONS = ("gelu", "gelu_tanh")


@keras.saving.register_keras_serializable("keras_vit")
class FeedForward(Composite):
    """Two dense layers with GELU between them, for each token by itself.

    Args:
        hidden_width: size of the layer between.
        activation: of the layer between: "gelu" or "gelu_tanh" (see `gelu`).
        dropout: rate after each of the two layers, 0 to 1.

    Input and output: `(batch, tokens, width)`.
    """

    def __init__(self, hidden_width: int, activation: str = "gelu", dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise unknown("activation", activation, ACTIVATIONS)
        self.hidden_width = hidden_width
        self.activation = activation
        self.dropout = dropout

    def build(self, input_shape):
        options = {
            "kernel_initializer": "glorot_uniform",
            "bias_initializer": keras.initializers.RandomNormal(stddev=1e-6),
            "dtype": self.dtype_policy,
        }
        self.hidden = keras.layers.Dense(self.hidden_width, name="hidden", **options)
        self.hidden.build(input_shape)
        self.output_projection = keras.layers.Dense(
            input_shape[-1], name="output_projection", **options
        )
        self.output_projection.build((*input_shape[:-1], self.hidden_width))
        self.hidden_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.restore_quantization()

    def call(self, x, training=None):
        x = gelu(self.hidden(x), self.activation)  # (B, tokens, hidden_width)
        x = self.hidden_dropout(x, training=training)
        x = self.output_projection(x)  # (B, tokens, width)
        return self.output_dropout(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_width": self.hidden_width,
            "activation": self.activation,
            "dropout": self.dropout,
        }


def gelu(x, form: str = "gelu"):
    """GELU (arXiv 1606.08415): `x * Phi(x)`, Phi exact or through its published tanh approximation.

    Args:
        x: any tensor.
        form: "gelu" (exact) or "gelu_tanh"; they differ by up to 5e-4.

    Returns:
        A tensor like `x`.
    """
    if form == "gelu_tanh":
        return ops.gelu(x, approximate=True)
    # Not ops.gelu(approximate=False): it becomes an Erfc, which ONNX lacks, and nothing says so.
    return 0.5 * x * (1.0 + ops.erf(x * 0.7071067811865476))
