# SPDX-License-Identifier: MIT
"""The residual stream of the exported graph: without its mean where nobody sees that, and divided
by 2^k where float16 would overflow.

Who reads the stream decides what may be done to it:

* A LayerNorm removes the mean of the channels, and does not see a factor if its epsilon has the
  square of it. Where all readers are LayerNorms, those before the branches and the one after the
  last block, what is written to the stream loses its mean beforehand.
* An RMS norm sees the mean, which is part of the mean square, but no factor.
* Dense layers see both: with norms after the branches they read the stream itself, and so do the
  pool and the head without a final norm. The mean then stays, a LayerNorm among the readers removes
  it itself, and the factor is divided out of these kernels.

A norm of all tokens before the first block begins a stream of its own: what it reads is read by
nothing else.

A trained Vision Transformer has a few channels of a hundred times the size of the others
(arXiv 2402.17762). Norms square them, and the square of 256 is infinite in float16. Where nothing
is that large, nothing is divided: float16 has a limit for small numbers too, so that logits move
more the larger a channel is (`tests/export/test_half.py` says by how much).

What a norm reads that stands inside attention, MLP or a pool, or after a branch, is no part of the
stream: see `keras_vit.export.inner_scales`.
"""

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.models import blocks

_LARGEST = 64.0  # a quarter of what may be squared: other images may have larger numbers


def loses_mean(config: ViTConfig) -> bool:
    """Whether what the blocks write to the stream loses its mean over the channels."""
    return config.norm == "layer" and config.norm_placement == "before" and config.final_norm


def tokens_lose_mean(config: ViTConfig) -> bool:
    """Whether the tokens do so before the first norm."""
    return config.norm == "layer" and (config.embedding_norm or loses_mean(config))


def residual_scale(model: keras.Model) -> float:
    """The power of two, at most 1, that leaves the residual stream at 64 or less.

    Measured after every block, on an image of noise and a grey one: channels that are large are
    so for every image.

    Args:
        model: a model built by `keras_vit.vit`.
    """
    first = "embedding_norm" if model.config.embedding_norm else "patch_encoder"
    return _scale_of(model, [model.get_layer(first), *blocks(model)])


def embedding_scale(model: keras.Model) -> float:
    """The same of the tokens that a norm before the first block reads; 1 without one."""
    if not model.config.embedding_norm:
        return 1.0
    return _scale_of(model, [model.get_layer("patch_encoder")])


def scaled(weights: Mapping[str, np.ndarray], scale: float, config: ViTConfig) -> dict:
    """The weights of a graph whose residual stream is multiplied by `scale`.

    Args:
        weights: those of `keras_vit.export.folding`.
        scale: a power of two, so that no weight is rounded.
        config: the model's configuration.
    """
    tokens = "embedding_norm/(gamma|beta)$" if config.embedding_norm else _tokens(config)
    after = config.norm_placement == "after"
    ends = "norm/(gamma|beta)$" if after else "output/"
    found = multiplied(weights, rf"{tokens}|block_\d+/(attention|mlp)_{ends}", scale)
    if after:
        found = multiplied(found, r"block_\d+/(qkv|mlp_gate|mlp_hidden)/kernel$", 1 / scale)
    if not config.final_norm:
        found = _undone_at_the_end(found, scale, config)
    return multiplied(found, "residual/epsilon$", scale**2)


def scaled_before_embedding_norm(
    weights: Mapping[str, np.ndarray], scale: float, config: ViTConfig
) -> dict:
    """The same for the tokens that a norm before the first block reads."""
    found = multiplied(weights, _tokens(config), scale)
    return multiplied(found, "embedding_norm/epsilon$", scale**2)


def _tokens(config: ViTConfig) -> str:
    """What writes the tokens; a pattern of names."""
    return "(patch_norm/gamma|tokens/table)$" if config.patch_norm else "(patches|tokens)/"


def _undone_at_the_end(weights: dict, scale: float, config: ViTConfig) -> dict:
    """Pool and head read the stream itself."""
    if config.pool == "map":
        return multiplied(weights, "pool/(scores|values)/kernel$", 1 / scale)
    return undone_in_head(weights, scale, config)


def undone_in_head(weights: Mapping[str, np.ndarray], scale: float, config: ViTConfig) -> dict:
    """The weights of a head that reads numbers which are multiplied by `scale`."""
    if config.representation_size:
        return multiplied(weights, "pre_logits/kernel$", 1 / scale)
    found = multiplied(weights, "head/kernel$", 1 / scale)
    return found | {"features/gamma": weights.get("features/gamma", 1.0) / np.float64(scale)}


def multiplied(weights: Mapping[str, np.ndarray], names: str, factor: float) -> dict:
    """The weights with those whose names match a pattern from their start times a factor."""
    return {n: a * factor if re.match(names, n) else a for n, a in weights.items()}


def _scale_of(model: keras.Model, layers: Sequence[keras.layers.Layer]) -> float:
    tokens = keras.Function(model.input, [layer.output for layer in layers])
    tokens = tokens(pictures(model.input.shape[1:]))
    return power_for(max(float(np.max(np.abs(keras.ops.convert_to_numpy(x)))) for x in tokens))


def power_for(largest: float) -> float:
    """The power of two, at most 1, that leaves a number at 64 or less."""
    if not _LARGEST < largest < np.inf:  # weights that are NaN are reported elsewhere
        return 1.0
    return 2.0 ** -np.ceil(np.log2(largest / _LARGEST))


def pictures(shape: tuple[int, ...]) -> np.ndarray:
    """An image of noise and a grey one, `(2, *shape)`, 0 to 255."""
    noise = np.random.default_rng(0).uniform(0, 255, shape)
    return np.stack([noise, np.full(shape, 127.5)]).astype("float32")
