# SPDX-License-Identifier: MIT
"""The forward pass by hand: what every block receives, and what comes out if its attention changes.

A second functional model that asks blocks for their attention cannot be connected to the first
one's inputs, and no model tells what would come out if its attention were another.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.layers import AttentionPool, LayerScale, TransformerBlock
from keras_vit.models import config_of
from keras_vit.models.graph import read_out

# Of attention weights `(batch, heads, queries, keys)`, or of an MLP's hidden layer
# `(batch, tokens, mlp_dim)`.
Change = Callable[[Any], Any]


def tokens_of(model: keras.Model, images: np.ndarray) -> Any:
    """What the first block receives: `(batch, tokens, width)`.

    Args:
        model: a model built by `keras_vit.vit`.
        images: any real dtype `(batch, height, width, channels)`, 0 to 255.
    """
    x = ops.convert_to_tensor(np.asarray(images, "float32"))
    for layer in model.layers[1:]:
        if isinstance(layer, TransformerBlock):
            break
        x = layer(x, training=False)
    return x


def through(
    block: TransformerBlock, x: Any, change: Change | None = None, hidden: Change | None = None
) -> tuple[Any, Any]:
    """A block on tokens.

    Args:
        block: the block.
        x: `(batch, tokens, width)`.
        change: what becomes of its attention weights.
        hidden: what becomes of the hidden layer of its MLP, after activation and gate.

    Returns:
        The tokens that it returns, and the weights with which they were computed.
    """
    before = block.norm_placement == "before"
    y = block.attention_norm(x) if before else x
    weights = block.attention.attention_weights(y, y)
    weights = weights if change is None else change(weights)
    y = block.attention.read(weights, y)
    x = x + _scaled(y if before else block.attention_norm(y), block.attention_branch)
    y = block.mlp.activations(block.mlp_norm(x) if before else x)
    y = block.mlp.read(y if hidden is None else hidden(y))
    return x + _scaled(y if before else block.mlp_norm(y), block.mlp_branch), weights


def outputs_of(model: keras.Model, x: Any, change: Change | None = None) -> Any:
    """The outputs of a model, of the tokens that its last block returns: `(batch, classes)`.

    Args:
        model: a model built by `keras_vit.vit`.
        x: those tokens.
        change: what becomes of the attention weights of a pool of attention.
    """
    layers: dict[str, Callable] = {layer.name: layer for layer in model.layers}
    pool = layers["pool"]
    if change is not None and isinstance(pool, AttentionPool):
        layers["pool"] = lambda tokens: pool.read(change(pool.attention_weights(tokens)), tokens)
    return read_out(config_of(model), layers, x)


def pool_weights(model: keras.Model, x: Any) -> Any:
    """What a pool of attention reads of the tokens that the last block returns.

    Args:
        model: a model with `pool="map"`.
        x: those tokens.

    Returns:
        `(batch, heads, 1, tokens that it reads)`.
    """
    config = config_of(model)
    tokens = model.get_layer("encoder_norm")(x) if config.final_norm else x
    return model.get_layer("pool").attention_weights(tokens)


def _scaled(y: Any, branch: list[keras.layers.Layer]) -> Any:
    """A branch's end as it is at inference: its scale alone."""
    for layer in branch:
        y = layer(y) if isinstance(layer, LayerScale) else y
    return y
