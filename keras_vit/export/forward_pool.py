# SPDX-License-Identifier: MIT
"""Pools of the exported graph; see `keras_vit.export.forward`."""

from keras_vit.config import ViTConfig
from keras_vit.export.forward_block import of_own_head
from keras_vit.export.forward_parts import mlp, normalized_of_any_mean, stream_normalized


def pooled(ops, config: ViTConfig, x, kept: int):
    """From the tokens that the last block kept to `(batch, D)`, the final norm included.

    Args:
        ops: see `keras_vit.export.forward`.
        config: the model's configuration.
        x: `(batch * kept, D)`.
        kept: tokens of an image.
    """
    with ops.scope("pool"):
        if config.final_norm and not config.norm_after_pool:
            x = stream_normalized(ops, config, x)
        if config.pool == "map":
            return _attention_pool(ops, config, x)
        if config.pool == "token":  # both tokens side by side, as the head expects them
            return ops.reshape(x, (-1, kept * config.width))
        if config.pool == "token_and_average":
            return _token_and_average(ops, config, x)
        x = ops.mean(_read(ops, config, x), axes=(1,), keepdims=False)
        return stream_normalized(ops, config, x) if config.norm_after_pool else x


def _read(ops, config: ViTConfig, x):
    """The tokens that a pool reads, `(B, read, D)`."""
    x = ops.reshape(x, (-1, config.num_tokens, config.width))
    if config.pooled_from:
        x = ops.last(x, config.num_tokens - config.pooled_from, axis=1)
    return x


def _token_and_average(ops, config: ViTConfig, x):
    token = ops.first(ops.reshape(x, (-1, config.num_tokens, config.width)), 1, axis=1)
    mean = ops.mean(_read(ops, config, x), axes=(1,), keepdims=True)
    both = ops.concatenate([token, mean], axis=1)  # (B, 2, D)
    return ops.reshape(both, (-1, 2 * config.width))


def _attention_pool(ops, config: ViTConfig, x):
    tokens, heads = config.num_tokens - config.pooled_from, config.pool_heads or config.num_heads
    if config.pooled_from:
        x = ops.reshape(_read(ops, config, x), (-1, config.width))
    scores = ops.reshape(ops.dense(x, "pool/scores"), (-1, tokens, heads))
    attention = ops.softmax(ops.transpose(scores, (0, 2, 1)))  # (B, heads, T)
    means = ops.matmul(attention, ops.reshape(x, (-1, tokens, config.width)))  # (B, heads, D)
    means = ops.reshape(means, (-1, config.width))
    x = of_own_head(ops, heads, config.width, ops.dense(means, "pool/values"))
    x = ops.dense(x, "pool/attention_output")
    # What the head reads is not normalised, so that no matrix can take the mean before the norm of
    # a pool, which keeps the epsilon of the encoder's.
    y = normalized_of_any_mean(ops, config, x, ops.weight("pool/epsilon"))
    return ops.add(x, mlp(ops, config, y, "pool"))
