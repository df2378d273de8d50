# SPDX-License-Identifier: MIT
"""Which patches speak for a class: maps over an image, by several methods.

`keras_vit.analysis.exam` tells which of them to believe.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.analysis.attention import (
    attention_of_the_output,
    read_by_the_output,
    rollout_of_the_output,
)
from keras_vit.analysis.gradients import gradients
from keras_vit.analysis.walk import outputs_of, pool_weights, through, tokens_of
from keras_vit.errors import UserError, unknown
from keras_vit.models import blocks, config_of


def explain(
    model: keras.Model,
    images: np.ndarray,
    classes: Sequence[int] | np.ndarray | None = None,
    method: str = "relevance",
) -> np.ndarray:
    """Says how much each patch speaks for a class.

    Args:
        model: a model built by `keras_vit.vit`.
        images: any real dtype `(batch, height, width, channels)`, 0 to 255.
        classes: a class for each image; by default the one that the model predicts. What does not
            depend on a class ("attention", "rollout") does not read it.
        method: one of `METHODS`.

    Returns:
        float32 `(batch, rows, columns)` over the grid of patches, at least 0. Only the order within
        an image means something.

    Raises:
        UserError: for a method that does not exist, or a class that the model has not.
    """
    if method not in METHODS:
        raise unknown("method of explanation", method, METHODS)
    images = np.asarray(images, "float32")
    if classes is None:
        classes = np.argmax(ops.convert_to_numpy(model(images, training=False)), axis=1)
    labels = np.asarray(classes, int)
    outputs = model.output_shape[-1]
    if len(labels) != len(images) or not ((labels >= 0) & (labels < outputs)).all():
        raise UserError(
            f"classes: expected {len(images)} numbers from 0 to {outputs - 1}, one for each image, "
            f"received {str(labels.tolist())[:80]}."
        )
    found = METHODS[method](model, images, labels)
    return np.maximum(np.asarray(found, "float32"), 0).reshape(-1, *config_of(model).grid)


def relevance(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Attention times its gradient, followed through the blocks.

    Equations 5 and 6 of arXiv 2103.15679: with the positive part of gradient times attention,
    averaged over heads, as what a block passes on, R becomes R + A R. A pool of attention reads
    the tokens by equations 8 to 10: what they have read of others counts as much as their own.
    """
    config = config_of(model)
    maps, slopes = _attention_and_gradients(model, images, classes)
    tokens = config.num_tokens
    flow = np.broadcast_to(np.eye(tokens, dtype="float32"), (len(images), tokens, tokens))
    for weights, slope in zip(maps[: config.depth], slopes, strict=False):
        flow = flow + _positive(weights * slope) @ flow
    if config.pool == "map":  # what the pool reads, of tokens that have read others
        read = _positive(maps[-1] * slopes[-1])  # (B, 1, tokens read)
        others = flow - np.eye(tokens, dtype="float32")
        others = others / np.maximum(others.sum(axis=-1, keepdims=True), 1e-12)
        flow = np.eye(tokens, dtype="float32") + others
        return (read @ flow[:, config.pooled_from :])[:, 0, config.num_prefix_tokens :]
    return read_by_the_output(flow - np.eye(tokens, dtype="float32"), config)


def legrad(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The gradient of what each block would answer, by its own attention (arXiv 2404.03214).

    The tokens that a block returns are read as the last ones are; the positive part of the gradient
    of that score by the block's attention, averaged over heads and queries, is summed over blocks.
    With a pool of attention it is the gradient by the pool's weights.
    """
    config, x = config_of(model), tokens_of(model, images)
    total: np.ndarray = np.zeros((), "float32")
    for block in blocks(model):
        after, weights = through(block, x)
        if config.pool == "map":
            zeros = ops.zeros_like(pool_weights(model, after))
            first = config.num_prefix_tokens - config.pooled_from
        else:
            zeros, first = ops.zeros_like(weights), config.num_prefix_tokens

        def scored(tap, block=block, x=x, after=after):
            if config.pool == "map":
                return _score(outputs_of(model, after, lambda w: w + tap), classes)
            return _score(outputs_of(model, through(block, x, lambda w: w + tap)[0]), classes)

        slope = _numpy(gradients(scored, [zeros])[0])  # (B, heads, queries, keys)
        total = total + _positive(slope).mean(axis=1)[:, first:]
        x = after
    return total


def gradient_times_input(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The plain baseline: the gradient by normalised pixels times these, summed over a patch."""
    slope = _numpy(gradients(lambda x: _score(model(x, training=False), classes), [images])[0])
    rescaling = model.get_layer("rescaling")
    # d/dy * y of y = scale x + offset is d/dx * (x + offset / scale).
    shift = np.asarray(rescaling.offset) / np.asarray(rescaling.scale)
    speaks = np.abs((slope * (images + shift)).sum(axis=-1))  # (B, height, width)
    rows, columns = config_of(model).grid
    cells = speaks.reshape(len(images), rows, speaks.shape[1] // rows, columns, -1)
    return cells.sum(axis=(2, 4))


def _attention(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return attention_of_the_output(model, images)


def _rollout(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return rollout_of_the_output(model, images)


METHODS: dict[str, Callable[[keras.Model, np.ndarray, np.ndarray], np.ndarray]] = {
    "attention": _attention,
    "rollout": _rollout,
    "relevance": relevance,
    "legrad": legrad,
    "gradient": gradient_times_input,
}


def _attention_and_gradients(model, images, classes) -> tuple[list, list]:
    """Attention weights of every block, then of a pool of attention, and the gradients by them."""
    start = tokens_of(model, images)
    x, maps = start, []
    for block in blocks(model):
        x, weights = through(block, x)
        maps.append(weights)
    pooled = config_of(model).pool == "map"
    if pooled:
        maps.append(pool_weights(model, x))

    def scored(*taps):
        x = start
        for block, tap in zip(blocks(model), taps, strict=False):
            x, _ = through(block, x, lambda weights, tap=tap: weights + tap)
        change = (lambda weights: weights + taps[-1]) if pooled else None
        return _score(outputs_of(model, x, change), classes)

    slopes = gradients(scored, [ops.zeros_like(weights) for weights in maps])
    return [_numpy(weights) for weights in maps], [_numpy(slope) for slope in slopes]


def _score(logits: Any, classes: np.ndarray) -> Any:
    """The sum of each image's logit: images do not touch, so that its gradient is each one's."""
    wanted = ops.one_hot(classes, logits.shape[-1], dtype=logits.dtype)
    return ops.sum(logits * wanted)


def _positive(product: np.ndarray) -> np.ndarray:
    """The positive part, averaged over heads: `(batch, queries, keys)`."""
    return np.maximum(product, 0).mean(axis=1)


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), "float32")
