# SPDX-License-Identifier: MIT
"""The block that a Vision Transformer repeats."""

from typing import Any

import keras

from keras_vit.errors import unknown
from keras_vit.layers.attention import Attention
from keras_vit.layers.composite import Composite
from keras_vit.layers.feed_forward import FeedForward
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.norms import make_norm, normalize
from keras_vit.layers.rematerialization import recomputed
from keras_vit.layers.stochastic_depth import StochasticDepth

PLACEMENTS = ("before", "after")


@keras.saving.register_keras_serializable("keras_vit")
class TransformerBlock(Composite):
    """Attention and an MLP, each after a LayerNorm and inside a residual connection.

    Equations 2 and 3 of arXiv 2010.11929.

    Args:
        num_heads: attention heads; they divide the width of the input.
        mlp_dim: hidden size of the MLP.
        dropout: rate after the attention and after both layers of the MLP, 0 to 1.
        attention_dropout: rate on the attention weights, 0 to 1.
        stochastic_depth: rate of dropping each of the two branches, 0 to 1.
        layer_scale: start of the scale of each branch (see `LayerScale`), or None for no scale.
        activation: of the MLP, see `FeedForward`.
        norm: what every norm is: "layer" or "rms".
        norm_placement: "before" each branch, or "after" it, before the sum (arXiv 2111.09883).
        norm_epsilon: epsilon of every norm.
        attention: further arguments of `Attention`, e.g. `{"qk_norm": True}`.
        mlp: further arguments of `FeedForward`, e.g. `{"gated": True}`.

    Attributes:
        remat: whether the gradient of a train step computes the block anew instead of keeping what
            the forward pass computed (see `rematerialization`). It belongs to a run and not to the
            model: `get_config` does not tell it.

    Input and output: `(batch, tokens, width)`. With `return_attention_scores=True` the output is a
    pair of the tokens and the attention weights `(batch, heads, tokens, tokens)`, whose rows sum
    to 1.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        layer_scale: float | None = None,
        activation: str = "gelu",
        norm: str = "layer",
        norm_placement: str = "before",
        norm_epsilon: float = 1e-6,
        attention: dict[str, Any] | None = None,
        mlp: dict[str, Any] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if norm_placement not in PLACEMENTS:
            raise unknown("norm_placement", norm_placement, PLACEMENTS)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.stochastic_depth = stochastic_depth
        self.layer_scale = layer_scale
        self.activation = activation
        self.norm = norm
        self.norm_placement = norm_placement
        self.norm_epsilon = norm_epsilon
        self.attention_arguments = attention or {}
        self.mlp_arguments = mlp or {}
        self.remat = False

    def __call__(self, x, *args, training=None, **kwargs):
        # Here and not in `call`: the second pass needs the precision that Keras sets up around it.
        def call(x):
            return super(TransformerBlock, self).__call__(x, *args, training=training, **kwargs)

        return recomputed(self, call, x) if self.remat and training else call(x)

    def build(self, input_shape):
        self.attention_norm = self._norm("attention_norm")
        self.attention = Attention(
            self.num_heads,
            dropout=self.attention_dropout,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            **self.attention_arguments,
            name="attention",
            dtype=self.dtype_policy,
        )
        self.attention_output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.attention_branch = self._branch_end("attention")
        self.mlp_norm = self._norm("mlp_norm")
        self.mlp = FeedForward(
            self.mlp_dim,
            self.activation,
            self.dropout,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            **self.mlp_arguments,
            name="mlp",
            dtype=self.dtype_policy,
        )
        self.mlp_branch = self._branch_end("mlp")

        self.attention_norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.mlp_norm.build(input_shape)
        self.mlp.build(input_shape)
        for layer in (*self.attention_branch, *self.mlp_branch):
            layer.build(input_shape)
        self.restore_quantization()

    def call(self, x, training=None, return_attention_scores=False):
        y = self._before(self.attention_norm, x, training)
        y = self.attention(y, y, training=training, return_attention_scores=return_attention_scores)
        y, scores = y if return_attention_scores else (y, None)
        y = self.attention_output_dropout(y, training=training)
        y = self._after(self.attention_norm, y, training)
        x = x + _through(self.attention_branch, y, training)  # equation 2
        y = self.mlp(self._before(self.mlp_norm, x, training), training=training)
        y = self._after(self.mlp_norm, y, training)
        x = x + _through(self.mlp_branch, y, training)  # equation 3
        return (x, scores) if return_attention_scores else x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "stochastic_depth": self.stochastic_depth,
            "layer_scale": self.layer_scale,
            "activation": self.activation,
            "norm": self.norm,
            "norm_placement": self.norm_placement,
            "norm_epsilon": self.norm_epsilon,
            "attention": dict(self.attention_arguments),
            "mlp": dict(self.mlp_arguments),
        }

    def _norm(self, name) -> keras.layers.Layer:
        return make_norm(self.norm, self.norm_epsilon, name=name, dtype=self.dtype_policy)

    def _before(self, norm, x, training):
        return normalize(norm, x, training) if self.norm_placement == "before" else x

    def _after(self, norm, x, training):
        return normalize(norm, x, training) if self.norm_placement == "after" else x

    def _branch_end(self, name) -> list[keras.layers.Layer]:
        """What a branch passes before it is added: its scale, then the chance of being dropped."""
        layers, dtype = [], self.dtype_policy
        if self.layer_scale is not None:
            layers.append(LayerScale(self.layer_scale, name=f"{name}_scale", dtype=dtype))
        if self.stochastic_depth:
            layers.append(StochasticDepth(self.stochastic_depth, name=f"{name}_depth", dtype=dtype))
        return layers


def blocks_within(layer: keras.layers.Layer) -> list[TransformerBlock]:
    """All blocks of a model or layer, those of the models inside of it too."""
    return [part for part in layer._flatten_layers() if isinstance(part, TransformerBlock)]


def _through(layers, x, training):
    for layer in layers:
        x = layer(x, training=training) if isinstance(layer, StochasticDepth) else layer(x)
    return x
