# SPDX-License-Identifier: MIT
"""What the embeddings and tokens of a trained model are like."""

import keras
import numpy as np
from keras import ops

from keras_vit.analysis.walk import through, tokens_of
from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.layers import sincos2d
from keras_vit.layers.relative_position import relative_position_index
from keras_vit.layers.rotary import axial_angles, coordinates
from keras_vit.models import blocks, config_of

# Of the median norm of an image's patch tokens. Norms of ordinary tokens lie within a factor of two
# of it, those of artefacts many times above (arXiv 2309.16588, figure 3).
ARTEFACT = 3.0


def position_similarity(model: keras.Model) -> np.ndarray:
    """How alike the positions of patches are: figure 7, center, of arXiv 2010.11929.

    Args:
        model: a model that knows positions.

    Returns:
        float32 `(rows, columns, rows, columns)`, -1 to 1: the cosine of the embeddings of two
        patches; for rotary positions the mean cosine of the angles between them, which is what a
        query of ones scores on a key of ones; for a relative bias what it adds to the score of a
        query (first) on a key, the mean of heads and blocks, over the largest magnitude.

    Raises:
        UserError: for a model without positions.
    """
    config = config_of(model)
    if config.relative_position_bias and config.position == config.rotary == "none":
        return _mean_bias(model, config).reshape(*config.grid, *config.grid)
    table = _position_table(model, config)
    table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return (table @ table.T).reshape(*config.grid, *config.grid).astype("float32")


def patch_filters(model: keras.Model, count: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the patch projection: figure 7, left, of arXiv 2010.11929.

    Args:
        model: a model built by `keras_vit.vit`, without a ResNet stem.
        count: how many, at most one for each channel of the width.

    Returns:
        float32 `(count, patch height, patch width, channels)`, each of norm 1, and the share of the
        variance that each explains, `(count,)`.
    """
    config = config_of(model)
    if config.resnet_stages is not None:
        raise UserError("patch filters: expected a model that projects pixels, not a ResNet stem.")
    kernel = _numpy(model.get_layer("patch_encoder").projection.kernel)  # (P P C, D)
    kernel = kernel - kernel.mean(axis=1, keepdims=True)
    filters, sizes, _ = np.linalg.svd(kernel, full_matrices=False)
    shares = sizes**2 / np.maximum((sizes**2).sum(), 1e-30)
    found = filters.T[:count].reshape(-1, *config.patch_size, config.channels)
    return found.astype("float32"), shares[:count].astype("float32")


def token_norms(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Lengths of the patch tokens after each block: float32 `(depth, batch, rows, columns)`."""
    grid = config_of(model).grid
    return np.stack(
        [np.linalg.norm(x, axis=-1).reshape(len(x), *grid) for x in _patch_tokens(model, images)]
    )


def artefacts(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Patch tokens that a model uses as scratch space (arXiv 2309.16588).

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255.

    Returns:
        bool `(batch, rows, columns)`: whose length after the last block is more than `ARTEFACT`
        times the median of the image.
    """
    return long_tokens(token_norms(model, images)[-1])


def long_tokens(norms: np.ndarray) -> np.ndarray:
    """Which of the lengths `(..., rows, columns)` are more than `ARTEFACT` times their median."""
    return norms > ARTEFACT * np.median(norms, axis=(-2, -1), keepdims=True)


def token_similarity(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """How alike the patch tokens of an image become: float32 `(depth,)`, the mean cosine of pairs.

    Near 1 the tokens have collapsed ("oversmoothing", arXiv 2103.03404).
    """
    found = []
    for x in _patch_tokens(model, images):
        unit = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
        count = x.shape[1]
        total = np.square(unit.sum(axis=1)).sum(axis=-1)  # the sum of all pairs' cosines
        found.append(((total - count) / (count * (count - 1))).mean())
    return np.asarray(found, "float32")


def effective_rank(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """How many directions the patch tokens of an image use: float32 `(depth,)`, 1 or more.

    The exponential of the entropy of their singular values (Roy and Vetterli, "The effective rank",
    EUSIPCO 2007).
    """
    found = []
    for x in _patch_tokens(model, images):
        sizes = np.linalg.svd(x, compute_uv=False)  # (B, min(N, D))
        shares = sizes / np.maximum(sizes.sum(axis=-1, keepdims=True), 1e-30)
        entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=-1)
        found.append(np.exp(entropy).mean())
    return np.asarray(found, "float32")


def _mean_bias(model: keras.Model, config: ViTConfig) -> np.ndarray:
    """The relative bias of all heads and blocks: `(queries, keys)`, both patches, -1 to 1."""
    index, prefix = (
        relative_position_index(config.grid, config.class_token),
        int(config.class_token),
    )
    tables = [block.attention.relative_position_bias.table for block in blocks(model)]
    table = np.mean([_numpy(table) for table in tables], axis=(0, 2))  # (offsets,)
    bias = table[index][prefix:, prefix:]
    return bias / max(float(np.abs(bias).max()), 1e-12)


def _position_table(model: keras.Model, config: ViTConfig) -> np.ndarray:
    """A vector for each patch, `(patches, any)`."""
    if config.position == "learned":
        table = _numpy(model.get_layer("patch_encoder").position_embedding)[0]
        return table[config.num_prefix_positions :]
    if config.position == "sincos2d":
        return sincos2d(config.grid, config.width)
    if config.rotary == "none":
        raise UserError("position similarity: the model has no positions of patches.")
    if config.rotary == "mixed":
        frequencies = [_numpy(block.attention.rotary.frequencies) for block in blocks(model)]
        places = coordinates("mixed", config.grid)
        waves = np.concatenate([np.reshape(f, (2, -1)) for f in frequencies], axis=1)
        angles = places @ waves
    else:
        places = coordinates(
            config.rotary, config.grid, config.rotary_reference_grid, config.rotary_offset
        )
        angles = axial_angles(places, config.head_dim, config.rotary_temperature)
    # The product of two of these is the sum of the cosines of the angles between them.
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def _patch_tokens(model: keras.Model, images: np.ndarray):
    """The patch tokens after each block, `(batch, patches, width)`."""
    x, prefix = tokens_of(model, images), config_of(model).num_prefix_tokens
    for block in blocks(model):
        x, _ = through(block, x)
        yield _numpy(x)[:, prefix:]


def _numpy(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), "float32")
