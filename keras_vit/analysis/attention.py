# SPDX-License-Identifier: MIT
"""Attention weights of a trained model, and what is read off them."""

import keras
import numpy as np
from keras import ops

from keras_vit.analysis.walk import pool_weights, through, tokens_of
from keras_vit.config import ViTConfig
from keras_vit.errors import unknown
from keras_vit.models import blocks, config_of

HEAD_FUSIONS = ("mean", "max", "min")


def attention_maps(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Attention weights of every block and head.

    Args:
        model: a model built by `keras_vit.vit`.
        images: any real dtype `(batch, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(depth, batch, heads, tokens, tokens)`; each row sums to 1 and says where the token
        of that row looks. Tokens are in the order class, distillation, registers, patches row by
        row.
    """
    return _maps_and_tokens(model, images)[0]


def attention_of_the_output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """How much the output attends to each patch, averaged over heads.

    Of a model with a class token this is that token's row in the last block; of one with a pool of
    attention what the pool reads; in any other the rows of all patches, averaged.

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(batch, rows, columns)` over the grid of patches; what goes to the class token
        itself and to registers is left out, so that the sum is at most 1.
    """
    config = config_of(model)
    maps, tokens = _maps_and_tokens(model, images)
    if config.pool == "map":
        read = _numpy(pool_weights(model, tokens)).mean(axis=(1, 2))  # (B, tokens read)
        return read[:, config.num_prefix_tokens - config.pooled_from :].reshape(-1, *config.grid)
    return patches_read(maps[-1].mean(axis=1), config)


def rollout(
    maps: np.ndarray, head_fusion: str = "mean", discard_ratio: float = 0.0, residual: float = 0.5
) -> np.ndarray:
    """Attention rollout: what flows from each token of the input to each of the output.

    The attention of a block, mixed with the identity for its residual connection, is multiplied by
    those of the blocks before it (arXiv 2005.00928, section 3).

    Args:
        maps: `(depth, batch, heads, tokens, tokens)` as `attention_maps` returns them.
        head_fusion: "mean", "max" or "min" over heads.
        discard_ratio: share of the smallest weights of each row that count as zero, 0 to below 1.
        residual: share of the identity, 0 to 1.

    Returns:
        float32 `(batch, tokens, tokens)`; rows sum to 1.
    """
    if head_fusion not in HEAD_FUSIONS:
        raise unknown("head_fusion", head_fusion, HEAD_FUSIONS)
    tokens = maps.shape[-1]
    flow = np.broadcast_to(np.eye(tokens, dtype="float32"), (*maps[0, :, 0].shape,))
    for heads in maps:
        weights = getattr(heads, head_fusion)(axis=1)  # (B, T, T)
        dropped = int(discard_ratio * tokens)
        if dropped:
            least = np.sort(weights, axis=-1)[..., dropped - 1 : dropped]
            weights = np.where(weights > least, weights, 0)
        weights = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)
        flow = (1 - residual) * weights @ flow + residual * flow
    return flow.astype("float32")


def attention_distance(maps: np.ndarray, config: ViTConfig) -> np.ndarray:
    """How far each head looks: figure 7, right, of arXiv 2010.11929.

    Args:
        maps: as `attention_maps` returns them.
        config: that of the model.

    Returns:
        float32 `(depth, heads)`: the mean distance in pixels between the centers of a patch and of
        those that it attends to, weighted by its attention to patches.
    """
    rows, columns = np.mgrid[: config.grid[0], : config.grid[1]].reshape(2, -1)
    height, width = (side * config.stem_stride for side in config.patch_size)
    distance = np.hypot(
        (rows[:, None] - rows) * height, (columns[:, None] - columns) * width
    )  # (N, N)
    prefix = config.num_prefix_tokens
    among = maps[..., prefix:, prefix:]  # (depth, B, heads, N, N)
    total = np.maximum(among.sum(axis=-1), 1e-12)
    means = (among * distance).sum(axis=-1) / total  # (depth, B, heads, N)
    return means.mean(axis=(1, 3)).astype("float32")


def attention_entropy(maps: np.ndarray) -> np.ndarray:
    """How widely each head looks.

    Args:
        maps: as `attention_maps` returns them.

    Returns:
        float32 `(depth, heads)` in nats: 0 for heads that look at one token, log(tokens) for heads
        that look everywhere alike.
    """
    logs = np.log(np.maximum(maps, 1e-30))
    return -(maps * logs).sum(axis=-1).mean(axis=(1, 3)).astype("float32")


def patches_read(flow: np.ndarray, config: ViTConfig) -> np.ndarray:
    """What the output token reads of the patches, of weights between all tokens.

    Args:
        flow: `(batch, tokens, tokens)`, rows that read and columns that are read.
        config: that of the model.

    Returns:
        `(batch, rows, columns)`.
    """
    prefix = config.num_prefix_tokens
    rows = flow[:, 0] if config.class_token else flow[:, prefix:].mean(axis=1)
    return rows[:, prefix:].reshape(-1, *config.grid)


def _maps_and_tokens(model: keras.Model, images: np.ndarray):
    x, maps = tokens_of(model, images), []
    for block in blocks(model):
        x, weights = through(block, x)
        maps.append(_numpy(weights))
    return np.stack(maps), x


def _numpy(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), "float32")
