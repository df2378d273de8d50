# SPDX-License-Identifier: MIT
"""The MLP of a Transformer block."""

import keras
from keras import ops

from keras_vit.errors import unknown
from keras_vit.layers import fused
from keras_vit.layers.composite import Composite
from keras_vit.layers.norms import make_norm, normalize


def gelu(x):
    """GELU (arXiv 1606.08415): `x * Phi(x)`, exactly."""
    # Not ops.gelu(approximate=False): it becomes an Erfc, which ONNX lacks, and nothing says so.
    return 0.5 * x * (1.0 + ops.erf(x * 0.7071067811865476))


def gelu_tanh(x):
    """GELU through its published approximation, which differs by up to 5e-4."""
    return ops.gelu(x, approximate=True)


def quick_gelu(x):
    """`x * sigmoid(1.702 x)`, the approximation of OpenAI's CLIP, which differs by up to 2e-2."""
    return x * ops.sigmoid(1.702 * x)


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": ops.silu,
    "relu": ops.relu,
}


@keras.saving.register_keras_serializable("keras_vit")
class FeedForward(Composite):
    """Two dense layers with an activation between them, for each token by itself.

    Args:
        hidden_width: size of the layer between.
        activation: "gelu", "gelu_tanh", "quick_gelu", "silu" or "relu".
        dropout: rate after each of the two layers, 0 to 1.
        gated: whether the activation is that of a third layer, the gate, which multiplies the one
            between (arXiv 2002.05202, equation 6).
        use_bias: whether the layers have biases.
        inner_norm: whether the layer between is normalised before the last one.
        norm: what that norm is: "layer" or "rms".
        norm_epsilon: its epsilon.

    Input and output: `(batch, tokens, width)`.
    """

    def __init__(
        self,
        hidden_width: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        gated: bool = False,
        use_bias: bool = True,
        inner_norm: bool = False,
        norm: str = "layer",
        norm_epsilon: float = 1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise unknown("activation", activation, ACTIVATIONS)
        self.hidden_width = hidden_width
        self.activation = activation
        self.dropout = dropout
        self.gated = gated
        self.use_bias = use_bias
        self.has_inner_norm = inner_norm
        self.norm = norm
        self.norm_epsilon = norm_epsilon

    def build(self, input_shape):
        hidden_shape = (*input_shape[:-1], self.hidden_width)
        self.gate = self.inner_norm = None
        if self.gated:
            self.gate = self._dense(self.hidden_width, "gate", input_shape)
        self.hidden = self._dense(self.hidden_width, "hidden", input_shape)
        if self.has_inner_norm:
            self.inner_norm = make_norm(
                self.norm, self.norm_epsilon, name="inner_norm", dtype=self.dtype_policy
            )
            self.inner_norm.build(hidden_shape)
        self.output_projection = self._dense(input_shape[-1], "output_projection", hidden_shape)
        self.hidden_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.restore_quantization()

    def call(self, x, training=None):
        if self._plain and fused.runs_here(x, training):
            return self._call_fused(x, training)
        return self.read(self.activations(x, training=training), training=training)

    def activations(self, x, training=None):
        """The layer between, after its activation and gate: `(batch, tokens, hidden_width)`."""
        parts = self._parts(x, training)
        if fused.runs_here(x, training):
            return fused.fuse(_activated, *parts, activation=self.activation)
        return _activated(*parts, activation=self.activation)

    def read(self, activations, training=None):
        """What the last layer makes of them: `(batch, tokens, width)`."""
        y = self.hidden_dropout(activations, training=training)
        y = y if self.inner_norm is None else normalize(self.inner_norm, y, training)
        return self.output_dropout(_through(self.output_projection, y, training), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_width": self.hidden_width,
            "activation": self.activation,
            "dropout": self.dropout,
            "gated": self.gated,
            "use_bias": self.use_bias,
            "inner_norm": self.has_inner_norm,
            "norm": self.norm,
            "norm_epsilon": self.norm_epsilon,
        }

    @property
    def _plain(self) -> bool:
        """Whether nothing stands between the activations and the last layer, in floating point."""
        last = self.output_projection
        return not self.dropout and self.inner_norm is None and last.quantization_mode is None

    def _call_fused(self, x, training):
        parts, last = self._parts(x, training), self.output_projection
        return fused.dense_of(
            _activated, *parts, kernel=last.kernel, bias=last.bias, activation=self.activation
        )

    def _parts(self, x, training) -> list:
        """What the activations are made of."""
        parts = [self.hidden] if self.gate is None else [self.hidden, self.gate]
        return [_through(part, x, training) for part in parts]

    def _dense(self, units: int, name: str, input_shape) -> keras.layers.Dense:
        dense = keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer="glorot_uniform",
            bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            name=name,
            dtype=self.dtype_policy,
        )
        dense.build(input_shape)
        return dense


def _through(dense: keras.layers.Dense, x, training):
    if fused.runs_here(x, training) and dense.quantization_mode is None:
        return fused.dense(x, dense.kernel, dense.bias)
    return dense(x)


def _activated(hidden, gate=None, *, activation):
    function = ACTIVATIONS[activation]
    return function(hidden) if gate is None else function(gate) * hidden
