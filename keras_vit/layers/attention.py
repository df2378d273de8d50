# SPDX-License-Identifier: MIT
"""Multi-head attention, and what published Vision Transformers add to it."""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.errors import UserError, unknown
from keras_vit.layers import fused, fused_attention
from keras_vit.layers.composite import Composite
from keras_vit.layers.norms import make_norm
from keras_vit.layers.relative_position import RelativePositionBias
from keras_vit.layers.rotary import RotaryEmbedding

BIASED = {"all": ("query", "key", "value"), "query_value": ("query", "value"), "none": ()}


@keras.saving.register_keras_serializable("keras_vit")
class Attention(Composite):
    """Multi-head attention (appendix A of arXiv 2010.11929).

    Kernels are `(width, heads, head_dim)` and `(heads, head_dim, width)`, as in Flax and in
    `keras.layers.MultiHeadAttention`.

    Args:
        num_heads: attention heads; they divide the width of the input.
        dropout: rate on the attention weights, 0 to 1.
        qk_norm: whether queries and keys are normalised in each head (arXiv 2302.05442).
        qkv_bias: which of queries, keys and values have a bias: "all", "query_value" or "none".
        output_bias: whether the last dense layer has one.
        inner_norm: whether the joined heads are normalised before the last dense layer.
        norm: what these norms are: "layer" or "rms".
        norm_epsilon: their epsilon.
        rotary: arguments of the `RotaryEmbedding` of queries and keys; None for none.
        relative_position_bias: arguments of the `RelativePositionBias`; None for none.

    Inputs: `(batch, queries, width)` and `(batch, keys, width)`. Output: like the first. With
    `return_attention_scores=True` the output is a pair of it and the attention weights `(batch,
    heads, queries, keys)`, whose rows sum to 1.
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        qk_norm: bool = False,
        qkv_bias: str = "all",
        output_bias: bool = True,
        inner_norm: bool = False,
        norm: str = "layer",
        norm_epsilon: float = 1e-6,
        rotary: dict[str, Any] | None = None,
        relative_position_bias: dict[str, Any] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if qkv_bias not in BIASED:
            raise unknown("qkv_bias", qkv_bias, BIASED)
        self.num_heads = num_heads
        self.dropout = dropout
        self.qk_norm = qk_norm
        self.qkv_bias = qkv_bias
        self.output_bias = output_bias
        self.has_inner_norm = inner_norm
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.rotary_arguments = rotary
        self.relative_arguments = relative_position_bias

    def build(self, query_shape, value_shape):
        width = query_shape[-1]
        if width % self.num_heads:
            raise UserError(
                f"{type(self).__name__}: expected heads that divide the width {width}, "
                f"received {self.num_heads}."
            )
        head_dim = width // self.num_heads
        self._build_dense(query_shape, value_shape, head_dim)
        self._build_norms(width, head_dim)
        self.rotary = self.relative_position_bias = None
        if self.rotary_arguments:
            self.rotary = RotaryEmbedding(
                **self.rotary_arguments, name="rotary", dtype=self.dtype_policy
            )
            self.rotary.build((None, None, self.num_heads, head_dim))
        if self.relative_arguments:
            self.relative_position_bias = RelativePositionBias(
                **self.relative_arguments, name="relative_position_bias", dtype=self.dtype_policy
            )
            self.relative_position_bias.build((None, None, self.num_heads, head_dim))
        self.weights_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.restore_quantization()

    def call(self, query, value, training=None, return_attention_scores=False):
        if self.dropout or return_attention_scores:
            weights = self.attention_weights(query, value)
            y = self.read(self.weights_dropout(weights, training=training), value)
            return (y, weights) if return_attention_scores else y
        if query is value and fused.runs_here(query, training) and self._plain:
            return self._call_fused(query)
        q, k, bias = self._queries_and_keys(query, value)
        v = self.value_dense(value)  # (B, S, H, d)
        return self._output(
            ops.dot_product_attention(q, k, v, bias=bias, scale=q.shape[-1] ** -0.5)
        )

    def attention_weights(self, query, value):
        """How much each query reads of each token: `(batch, heads, queries, keys)`, sums of 1."""
        q, k, bias = self._queries_and_keys(query, value)
        scores = ops.einsum("bthd,bshd->bhts", q * q.shape[-1] ** -0.5, k)
        return ops.softmax(scores if bias is None else scores + bias)

    def read(self, weights, value):
        """What queries read with such weights: `(batch, queries, width)`."""
        v = self.value_dense(value)  # (B, S, H, d)
        return self._output(ops.einsum("bhts,bshd->bthd", weights, v))

    def compute_output_shape(self, query_shape, value_shape):
        return query_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "qk_norm": self.qk_norm,
            "qkv_bias": self.qkv_bias,
            "output_bias": self.output_bias,
            "inner_norm": self.has_inner_norm,
            "norm": self.norm,
            "norm_epsilon": self.norm_epsilon,
            "rotary": self.rotary_arguments,
            "relative_position_bias": self.relative_arguments,
        }

    @property
    def _plain(self) -> bool:
        """Whether it is attention as the paper has it, in floating point."""
        added = self.qk_norm, self.has_inner_norm, self.rotary, self.relative_position_bias
        parts = self.query_dense, self.key_dense, self.value_dense, self.output_dense
        return not any(added) and all(part.quantization_mode is None for part in parts)

    def _call_fused(self, x):
        parts = self.query_dense, self.key_dense, self.value_dense
        y = fused_attention.self_attention(x, [p.kernel for p in parts], [p.bias for p in parts])
        kernel = ops.reshape(self.output_dense.kernel, (-1, y.shape[-1]))
        return fused.dense(y, kernel, self.output_dense.bias)

    def _queries_and_keys(self, query, value):
        q, k = self.query_dense(query), self.key_dense(value)  # (B, T, H, d), (B, S, H, d)
        if self.qk_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        if self.rotary is not None:
            q, k = self.rotary(q), self.rotary(k)
        relative = self.relative_position_bias
        return q, k, None if relative is None else relative(q)  # (1, H, T, S)

    def _output(self, heads):
        """The last dense layer on the heads `(batch, queries, heads, head_dim)`."""
        if self.inner_norm is not None:
            joined = ops.reshape(heads, (-1, heads.shape[1], heads.shape[2] * heads.shape[3]))
            heads = ops.reshape(self.inner_norm(joined), (-1, *heads.shape[1:]))
        return self.output_dense(heads)  # (B, T, D)

    def _build_dense(self, query_shape, value_shape, head_dim):
        width = query_shape[-1]
        for part, shape in (("query", query_shape), ("key", value_shape), ("value", value_shape)):
            dense = keras.layers.EinsumDense(
                "abc,cde->abde",
                (None, self.num_heads, head_dim),
                bias_axes="de" if part in BIASED[self.qkv_bias] else None,
                kernel_initializer=_glorot(width),
                name=part,
                dtype=self.dtype_policy,
            )
            dense.build(shape)
            setattr(self, f"{part}_dense", dense)
        self.output_dense = keras.layers.EinsumDense(
            "abcd,cde->abe",
            (None, width),
            bias_axes="e" if self.output_bias else None,
            kernel_initializer=_glorot(width),
            name="attention_output",
            dtype=self.dtype_policy,
        )
        self.output_dense.build((*query_shape[:-1], self.num_heads, head_dim))

    def _build_norms(self, width, head_dim):
        self.inner_norm = None
        options = {"dtype": self.dtype_policy}
        if self.qk_norm:
            self.query_norm = make_norm(self.norm, self.norm_epsilon, name="query_norm", **options)
            self.key_norm = make_norm(self.norm, self.norm_epsilon, name="key_norm", **options)
            for norm in (self.query_norm, self.key_norm):
                norm.build((None, None, self.num_heads, head_dim))
        if self.has_inner_norm:
            self.inner_norm = make_norm(self.norm, self.norm_epsilon, name="inner_norm", **options)
            self.inner_norm.build((None, None, width))


def _glorot(width: int) -> keras.initializers.Initializer:
    """Glorot uniform of a (width, width) matrix, spelled out: Keras takes kernels of three axes for
    convolutions. One for each kernel: an initializer that is asked twice says the same twice."""
    limit = math.sqrt(6 / (width + width))
    return keras.initializers.RandomUniform(-limit, limit)
