# SPDX-License-Identifier: MIT
"""A Transformer block of the exported graph; see `keras_vit.export.forward`."""

import dataclasses

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.forward_merge import Tokens, log_sizes, merged
from keras_vit.export.forward_parts import (
    affine,
    inner_normalized,
    mlp,
    normalized,
    stream_normalized,
)


def block(ops, config: ViTConfig, tokens: Tokens, name: str, patches: int):
    """Equations 2 and 3 of arXiv 2010.11929, with merging between the two.

    Args:
        ops: see `keras_vit.export.forward`.
        config: the model's configuration.
        tokens: all there are.
        name: of the block.
        patches: how many of them are left after the attention.
    """
    with ops.scope(name):
        y, _, keys = _attend(ops, config, tokens, name, tokens.count, False)
        x = ops.add(tokens.rows, _attention_end(ops, config, y, name))
        tokens = dataclasses.replace(tokens, rows=x)
        tokens = merged(ops, config, tokens, keys, patches)
        x = ops.add(tokens.rows, _mlp_branch(ops, config, tokens.rows, name))
        return dataclasses.replace(tokens, rows=x)


def last_block(ops, config: ViTConfig, tokens: Tokens, name: str, kept: int, all_attention: bool):
    """The same without merging, for the first `kept` tokens.

    Args:
        ops: see `keras_vit.export.forward`.
        config: the model's configuration.
        tokens: all there are.
        name: of the block.
        kept: tokens that are read after it: all, or those before the patches.
        all_attention: whether the attention of the others is wanted all the same.

    Returns:
        Tokens, `(batch * kept, D)`, and the attention, `(batch, heads, tokens or kept, tokens)`.
    """
    with ops.scope(name):
        x, count = tokens.rows, tokens.count
        y, attention, _ = _attend(ops, config, tokens, name, kept, all_attention)
        if kept < count:
            x = ops.reshape(x, (-1, count, config.width))
            x = ops.reshape(ops.first(x, kept, axis=1), (-1, config.width))
        x = ops.add(x, _attention_end(ops, config, y, name))
        return ops.add(x, _mlp_branch(ops, config, x, name)), attention


def short_block(ops, config: ViTConfig, tokens: Tokens, name: str, kept: int):
    """The last block for the tokens that are read, which needs no keys and values of the others.

    With scores (q W_K^T) x^T instead of q (x W_K)^T, and (A x) W_V instead of A (x W_V), both
    matrices meet a row for each head instead of one for each token. Softmax does not see the bias
    of the keys. Keys that are normalised or turned are no product, and have to be computed.
    """
    count, heads, width = tokens.count, config.num_heads, config.width
    query, key, value = (slice(i * width, (i + 1) * width) for i in range(3))
    qkv = f"{name}/qkv"
    with ops.scope(name):
        x = ops.reshape(tokens.rows, (-1, count, width))
        y = _entry(ops, config, x)
        x = ops.reshape(ops.first(x, kept, axis=1), (-1, width))
        rows = ops.reshape(ops.first(y, kept, axis=1), (-1, width))
        rows = ops.reshape(ops.dense(rows, qkv, query), (-1, 1, 1, width))
        rows = ops.multiply(rows, own_columns(ops, heads, width))  # (B * kept, heads, 1, D)
        rows = ops.dense_transposed(ops.reshape(rows, (-1, width)), qkv, key)
        rows = ops.reshape(rows, (-1, kept * heads, width))
        scores = ops.matmul(rows, ops.transpose(y, (0, 2, 1)))  # (B, kept * heads, T)
        if config.relative_position_bias:
            bias = ops.transpose(_relative(ops, name, kept), (0, 2, 1, 3))  # (1, kept, heads, T)
            scores = ops.add(ops.reshape(scores, (-1, kept, heads, count)), bias)
            scores = ops.reshape(scores, (-1, kept * heads, count))
        if tokens.sizes is not None:
            scores = ops.add(scores, log_sizes(ops, tokens, rank=3))
        rows = ops.reshape(ops.matmul(ops.softmax(scores), y), (-1, width))  # (B * kept * heads, D)
        rows = of_own_head(ops, heads, width, ops.dense(rows, qkv, value))
        x = ops.add(x, _attention_end(ops, config, rows, name))
        return ops.add(x, _mlp_branch(ops, config, x, name))


def of_own_head(ops, heads: int, width: int, x):
    """`(n * heads, D)` to `(n, D)`: of each row the columns of its own head."""
    x = ops.reshape(x, (-1, heads, 1, width))  # see `keras_vit.export.forward` for the rank
    return ops.sum(ops.multiply(x, own_columns(ops, heads, width)), axes=(1, 2))


def own_columns(ops, heads: int, width: int):
    """`(1, heads, 1, D)`: 1 where a head has its columns, 0 elsewhere."""
    mask = np.kron(np.eye(heads), np.ones(width // heads))[None, :, None]
    return ops.constant(f"own_columns/{heads}", mask.astype("float32"))


def _entry(ops, config: ViTConfig, x):
    """What a branch reads of the residual stream."""
    return stream_normalized(ops, config, x) if config.norm_placement == "before" else x


def _attention_end(ops, config: ViTConfig, joined_heads, name: str):
    y = inner_normalized(ops, config, joined_heads, f"{name}/attention_inner")
    return _end(ops, config, ops.dense(y, f"{name}/attention_output"), f"{name}/attention_norm")


def _mlp_branch(ops, config: ViTConfig, x, name: str):
    y = mlp(ops, config, _entry(ops, config, x), name)
    return _end(ops, config, y, f"{name}/mlp_norm")


def _end(ops, config: ViTConfig, y, name: str):
    """A branch with its norm, where that stands after it. The matrix before has taken the mean."""
    if config.norm_placement == "before":
        return y
    return affine(ops, normalized(ops, y, ops.weight(f"{name}/epsilon")), name)


def _attend(ops, config: ViTConfig, tokens: Tokens, name: str, kept: int, all_attention: bool):
    """The joined heads of the first `kept` tokens, `(B * kept, D)`, the attention and the keys."""
    count, heads = tokens.count, config.num_heads
    y = ops.dense(_entry(ops, config, tokens.rows), f"{name}/qkv")
    y = ops.reshape(y, (-1, count, 3 * heads, config.head_dim))
    y = ops.transpose(y, (0, 2, 1, 3))  # (B, 3 * heads, T, head_dim)
    query, key, value = ops.split(y, 3, axis=1)
    rows = count if all_attention else kept
    if rows < count:
        query = ops.first(query, rows, axis=2)
    query, key = _positioned(ops, config, query, key, name, turn_queries=rows == count)
    scores = ops.matmul(query, key, transpose_b=True)  # (B, heads, rows, T)
    if config.relative_position_bias:
        scores = ops.add(scores, _relative(ops, name, rows))
    if tokens.sizes is not None:
        scores = ops.add(scores, log_sizes(ops, tokens, rank=4))
    attention = ops.softmax(scores)
    chosen = ops.first(attention, kept, axis=2) if kept < rows else attention
    y = ops.transpose(ops.matmul(chosen, value), (0, 2, 1, 3))
    return ops.reshape(y, (-1, config.width)), attention, key


def _positioned(ops, config: ViTConfig, query, key, name: str, turn_queries: bool):
    """Queries and keys, normalised and then turned, where the model does so.

    Where only some tokens are kept, these stand before the patches, and are not turned.
    """
    if config.qk_norm:
        epsilon = ops.number(config.norm_epsilon)
        query = affine(ops, normalized(ops, query, epsilon), f"{name}/query_norm")
        key = affine(ops, normalized(ops, key, epsilon), f"{name}/key_norm")
    if config.rotary != "none":
        query = _turned(ops, query, name) if turn_queries else query
        key = _turned(ops, key, name)
    return query, key


def _turned(ops, x, name: str):
    """Rotary positions (arXiv 2104.09864): both halves of each head turned against each other."""
    table = f"{name}/rotary" if ops.has(f"{name}/rotary/cos") else "rotary"
    cos, sin = ops.weight(f"{table}/cos"), ops.weight(f"{table}/sin")
    a, b = ops.split(x, 2, axis=3)  # each (B, heads, T, head_dim / 2)
    turned = [
        ops.subtract(ops.multiply(a, cos), ops.multiply(b, sin)),
        ops.add(ops.multiply(b, cos), ops.multiply(a, sin)),
    ]
    return ops.concatenate(turned, axis=3)


def _relative(ops, name: str, rows: int):
    """What is added to the scores of the first queries, `(1, heads, rows, T)`."""
    name = f"{name}/relative_position_bias"
    bias = ops.weight(name)
    return ops.first(bias, rows, axis=2) if rows < ops.weight_shape(name)[2] else bias
