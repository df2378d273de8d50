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


def heads_of_the_output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """How much the output attends to each patch, by head.

    Of a model that reads its class token (and its distillation token) this is that token's row in
    the last block (or the mean of both); of one that reads the average of tokens the mean of
    their rows; of one that reads both, the mean of these; and of one with a pool of attention what
    the pool reads.

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(batch, heads, rows, columns)` over the grid of patches; what goes to the tokens
        before them is left out, so that the sum is at most 1.
    """
    config = config_of(model)
    maps, tokens = _maps_and_tokens(model, images)
    if config.pool == "map":
        read = _numpy(pool_weights(model, tokens))[:, :, 0]  # (B, heads, tokens read)
        read = read[..., config.num_prefix_tokens - config.pooled_from :]
    else:
        read = read_by_the_output(maps[-1], config)
    return read.reshape(*read.shape[:2], *config.grid)


def attention_of_the_output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The mean of `heads_of_the_output`: float32 `(batch, rows, columns)`."""
    return heads_of_the_output(model, images).mean(axis=1)


def rollout_of_the_output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What flows from each patch to the output, through all blocks; see `rollout`.

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(batch, rows, columns)`.
    """
    config = config_of(model)
    maps, tokens = _maps_and_tokens(model, images)
    flow = rollout(maps)
    if config.pool == "map":
        weights = _numpy(pool_weights(model, tokens)).mean(axis=1)  # (B, 1, tokens read)
        read = (weights @ flow[:, config.pooled_from :])[:, 0, config.num_prefix_tokens :]
    else:
        read = read_by_the_output(flow, config)
    return read.reshape(-1, *config.grid)


def rollout(
    maps: np.ndarray, head_fusion: str = "mean", discard_ratio: float = 0.0, residual: float = 0.5
) -> np.ndarray:
    """Attention rollout: what flows from each token of the input to each of the output.

    The attention of a block, mixed with the identity for its residual connection, is multiplied by
    those of the blocks before it (arXiv 2005.00928, section 3).

    Args:
        maps: `(depth, batch, heads, tokens, tokens)` as `attention_maps` returns them.
        head_fusion: "mean", "max" or "min" over heads.
        discard_ratio: share of the smallest weights of each row that count as zero, 0 to below 1;
            what equals the smallest of the others stays.
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
            least = np.sort(weights, axis=-1)[..., dropped : dropped + 1]
            weights = np.where(weights >= least, weights, 0)
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


def read_by_the_output(flow: np.ndarray, config: ViTConfig) -> np.ndarray:
    """What the representation reads of the patches, of weights between all tokens.

    Args:
        flow: `(..., tokens, tokens)`, rows that read and columns that are read.
        config: that of the model, whose pool is not one of attention.

    Returns:
        `(..., patches)`.
    """
    read = []
    if "token" in config.pool:
        read.append(flow[..., : 2 if config.distillation_token else 1, :].mean(axis=-2))
    if "average" in config.pool:
        read.append(flow[..., config.pooled_from :, :].mean(axis=-2))
    return np.mean(read, axis=0)[..., config.num_prefix_tokens :]


def _maps_and_tokens(model: keras.Model, images: np.ndarray):
    x, maps = tokens_of(model, images), []
    for block in blocks(model):
        x, weights = through(block, x)
        maps.append(_numpy(weights))
    return np.stack(maps), x


def _numpy(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), "float32")
