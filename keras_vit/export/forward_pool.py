# SPDX-License-Identifier: MIT
"""Pools of the exported graph; see `keras_vit.export.forward`."""

from keras_vit.config import ViTConfig
from keras_vit.export.forward_block import of_own_head
from keras_vit.export.forward_merge import Tokens, log_sizes
from keras_vit.export.forward_parts import mlp, normalized_of_any_mean, stream_normalized


def pooled(ops, config: ViTConfig, tokens: Tokens):
    """From the tokens that the last block kept to `(batch, D)`, the final norm included.

    Args:
        ops: see `keras_vit.export.forward`.
        config: the model's configuration.
        tokens: those that the last block kept.
    """
    with ops.scope("pool"):
        x = tokens.rows
        if config.final_norm and not config.norm_after_pool:
            x = stream_normalized(ops, config, x)
        if config.pool == "token":  # both tokens side by side, as the head expects them
            return ops.reshape(x, (-1, tokens.count * config.width))
        tokens = Tokens(
            ops.reshape(x, (-1, tokens.count, config.width)), tokens.count, tokens.sizes
        )
        if config.pool == "map":
            return _attention_pool(ops, config, tokens)
        if config.pool == "token_and_average":
            return _token_and_average(ops, config, tokens)
        x = _mean(ops, config, tokens, keepdims=False)
        return stream_normalized(ops, config, x) if config.norm_after_pool else x


def _read(ops, config: ViTConfig, tokens: Tokens) -> Tokens:
    """The tokens that a pool reads; rows are `(B, read, D)`."""
    count = tokens.count - config.pooled_from
    if not config.pooled_from:
        return tokens
    x, sizes = ops.last(tokens.rows, count, axis=1), tokens.sizes
    return Tokens(x, count, None if sizes is None else ops.last(sizes, count, axis=1))


def _mean(ops, config: ViTConfig, tokens: Tokens, keepdims: bool):
    """The mean over the tokens that a pool reads, a merged one counted as often as it has
    patches."""
    read = _read(ops, config, tokens)
    x = read.rows
    if read.sizes is not None:
        share = read.count / (config.num_tokens - config.pooled_from)
        x = ops.multiply(x, ops.multiply(read.sizes, ops.number(share)))
    return ops.mean(x, axes=(1,), keepdims=keepdims)


def _token_and_average(ops, config: ViTConfig, tokens: Tokens):
    token = ops.first(tokens.rows, 1, axis=1)
    mean = _mean(ops, config, tokens, keepdims=True)
    both = ops.concatenate([token, mean], axis=1)  # (B, 2, D)
    return ops.reshape(both, (-1, 2 * config.width))


def _attention_pool(ops, config: ViTConfig, tokens: Tokens):
    read, heads = _read(ops, config, tokens), config.pool_heads or config.num_heads
    x = ops.reshape(read.rows, (-1, config.width))
    scores = ops.reshape(ops.dense(x, "pool/scores"), (-1, read.count, heads))
    scores = ops.transpose(scores, (0, 2, 1))  # (B, heads, T)
    if read.sizes is not None:
        scores = ops.add(scores, log_sizes(ops, read, rank=3))
    means = ops.matmul(ops.softmax(scores), read.rows)  # (B, heads, D)
    means = ops.reshape(means, (-1, config.width))
    x = of_own_head(ops, heads, config.width, ops.dense(means, "pool/values"))
    x = ops.dense(x, "pool/attention_output")
    # What the head reads is not normalised, so that no matrix can take the mean before the norm of
    # a pool, which keeps the epsilon of the encoder's.
    y = normalized_of_any_mean(ops, config, x, ops.weight("pool/epsilon"))
    return ops.add(x, mlp(ops, config, y, "pool"))
