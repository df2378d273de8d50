# SPDX-License-Identifier: MIT
"""From tokens to one representation: a token, an average, or attention."""

import keras
from keras import ops

from keras_vit.errors import UserError, unknown
from keras_vit.layers.attention import Attention
from keras_vit.layers.composite import Composite
from keras_vit.layers.feed_forward import FeedForward
from keras_vit.layers.norms import make_norm

KINDS = ("token", "average", "token_and_average")


@keras.saving.register_keras_serializable("keras_vit")
class TokenPool(keras.layers.Layer):
    """Reads the class token, or averages the patch tokens (arXiv 2010.11929, appendix D.3).

    Args:
        kind: "token", "average", or "token_and_average" for both side by side (arXiv 2304.07193).
        num_prefix_tokens: tokens before the patches; an average leaves them out.
        index: which token is read: 0 the class token, 1 the distillation token.

    Input: `(batch, tokens, width)`. Output: `(batch, width)`, or twice the width for both.
    """

    def __init__(self, kind: str = "token", num_prefix_tokens: int = 1, index: int = 0, **kwargs):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise unknown("kind of TokenPool", kind, KINDS)
        if "token" in kind and num_prefix_tokens <= index:
            raise UserError(
                f"TokenPool: kind={kind!r} reads prefix token {index}, but "
                f"num_prefix_tokens={num_prefix_tokens}."
            )
        self.kind = kind
        self.num_prefix_tokens = num_prefix_tokens
        self.index = index

    def call(self, x):
        if self.kind == "token":
            return x[:, self.index]  # (B, D)
        mean = ops.mean(x[:, self.num_prefix_tokens :], axis=1)  # (B, D)
        if self.kind == "average":
            return mean
        return ops.concatenate([x[:, self.index], mean], axis=-1)  # (B, 2 D)

    def compute_output_shape(self, input_shape):
        times = 2 if self.kind == "token_and_average" else 1
        return input_shape[0], times * input_shape[-1]

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "num_prefix_tokens": self.num_prefix_tokens,
            "index": self.index,
        }


@keras.saving.register_keras_serializable("keras_vit")
class AttentionPool(Composite):
    """Multi-head attention pooling, "MAP" (arXiv 2106.04560, section 3.2).

    A learnable probe attends to the tokens; what it read passes a norm and an MLP inside a
    residual connection.

    Args:
        num_heads: attention heads; they divide the width of the input.
        mlp_dim: hidden size of the MLP.
        activation: see `FeedForward`.
        norm: "layer" or "rms".
        norm_epsilon: epsilon of the norm.
        num_prefix_tokens: tokens at the front that are left out.

    Input: `(batch, tokens, width)`. Output: `(batch, width)`.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        activation: str = "gelu",
        norm: str = "layer",
        norm_epsilon: float = 1e-6,
        num_prefix_tokens: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.num_prefix_tokens = num_prefix_tokens

    def build(self, input_shape):
        width = input_shape[-1]
        one_token = (input_shape[0], 1, width)
        self.probe = self.add_weight((1, 1, width), "glorot_uniform", name="probe")
        self.attention = Attention(self.num_heads, name="attention", dtype=self.dtype_policy)
        self.attention.build(one_token, input_shape)
        self.mlp_norm = make_norm(
            self.norm, self.norm_epsilon, name="mlp_norm", dtype=self.dtype_policy
        )
        self.mlp_norm.build(one_token)
        self.mlp = FeedForward(self.mlp_dim, self.activation, name="mlp", dtype=self.dtype_policy)
        self.mlp.build(one_token)
        self.restore_quantization()

    def call(self, x, return_attention_scores=False):
        probe, x = self._query_and_tokens(x)
        y = self.attention(probe, x, return_attention_scores=return_attention_scores)
        y, scores = y if return_attention_scores else (y, None)
        y = self._output(y)
        return (y, scores) if return_attention_scores else y

    def attention_weights(self, x):
        """How much the probe reads of each token: `(batch, heads, 1, tokens)`, sums of 1."""
        return self.attention.attention_weights(*self._query_and_tokens(x))

    def read(self, weights, x):
        """The output for such weights."""
        return self._output(self.attention.read(weights, self._query_and_tokens(x)[1]))

    def _query_and_tokens(self, x):
        probe = ops.cast(self.probe, x.dtype)
        probe = ops.broadcast_to(probe, (ops.shape(x)[0], 1, x.shape[-1]))  # (B, 1, D)
        # The tokens that are read, (B, T - prefix, D)
        return probe, x[:, self.num_prefix_tokens :] if self.num_prefix_tokens else x

    def _output(self, y):
        y = y + self.mlp(self.mlp_norm(y))
        return y[:, 0]  # (B, D)

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[-1]

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "activation": self.activation,
            "norm": self.norm,
            "norm_epsilon": self.norm_epsilon,
            "num_prefix_tokens": self.num_prefix_tokens,
        }
