# SPDX-License-Identifier: MIT
"""The exact transform of all that comes before the blocks; see `keras_vit.export.folding`."""

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.dense import Dense, Variables, centred
from keras_vit.export.residual import tokens_lose_mean
from keras_vit.layers import sincos2d

Arrays = dict[str, np.ndarray]


def folded_tokens(model: keras.Model, variables: Variables, config: ViTConfig) -> Arrays:
    """The projection of patches, what is added to them, and norms before the first block."""
    patches = variables.dense("patch_encoder/projection")
    if config.resnet_stages is None:
        scale, offset = rescaling(model)
        repeats = config.patch_size[0] * config.patch_size[1]  # a patch is (row, column, channel)
        bias = np.tile(offset, repeats) @ patches.kernel
        bias = bias if patches.bias is None else bias + patches.bias
        patches = Dense(np.tile(scale, repeats)[:, None] * patches.kernel, bias)
    folded: Arrays = {}
    bias = np.zeros(config.width) if patches.bias is None else patches.bias
    if config.patch_norm:  # reads the bias, so that it stays with the projection
        norm = variables.norm("patch_encoder/patch_norm")
        patches = patches.centred() if config.norm == "layer" else patches
        folded = {
            "patch_norm/epsilon": np.asarray(config.norm_epsilon, "float64"),
            "patch_norm/gamma": norm.gamma,
        }
        bias = np.zeros(config.width) if norm.beta is None else norm.beta
    else:
        patches = Dense(patches.kernel, None)
    table = _table(variables, config, bias)
    if tokens_lose_mean(config) and not config.patch_norm:
        patches, table = patches.centred(), centred(table)
    folded = patches.named("patches") | folded | {"tokens/table": table[None, :, None]}
    if config.embedding_norm:
        folded["embedding_norm/epsilon"] = np.asarray(config.norm_epsilon, "float64")
        folded |= variables.norm("embedding_norm").named("embedding_norm")
    return folded


def rescaling(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset of the pixels, each `(channels,)`."""
    layer, channels = model.get_layer("rescaling"), model.input.shape[-1]
    scale, offset = (np.asarray(value, "float64") for value in (layer.scale, layer.offset))
    return np.broadcast_to(scale, (channels,)), np.broadcast_to(offset, (channels,))


def _table(variables: Variables, config: ViTConfig, bias: np.ndarray) -> np.ndarray:
    """What is added to the projected patches, after `num_prefix_tokens` rows of zeros."""
    prefix = config.num_prefix_tokens
    table = np.zeros((config.num_tokens, config.width))
    table[prefix:] = bias
    names = ("class_embedding", "distillation_embedding", "register_embedding")
    paths = [f"patch_encoder/{name}" for name in names]
    present = [variables(path)[0] for path in paths if path in variables]
    if present:
        table[:prefix] = np.concatenate(present)
    if config.position == "learned":
        positions = variables("patch_encoder/position_embedding")[0]
        positioned = config.num_prefix_positions
        table[:positioned] += positions[:positioned]
        table[prefix:] += positions[positioned:]
    elif config.position == "sincos2d":
        table[prefix:] += sincos2d(config.grid, config.width)
    return table
