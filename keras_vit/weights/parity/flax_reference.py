# SPDX-License-Identifier: MIT
"""The Vision Transformer of Google's checkpoints in Flax Linen, for parity certificates.

Made of Flax's own attention, LayerNorm, GroupNorm, convolution and GELU; Linen's automatic names
(`encoderblock_0/MlpBlock_0/Dense_1`) are those of the files, which load without any table of ours.
"""

import re
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from keras_vit.config import ViTConfig

if TYPE_CHECKING:
    from keras_vit.weights.source import Source


class MlpBlock(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        y = nn.gelu(nn.Dense(self.width)(x))
        return nn.Dense(x.shape[-1])(y)


class EncoderBlock(nn.Module):
    config: ViTConfig

    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=self.config.num_heads)(y, y)
        return x + MlpBlock(self.config.mlp_dim)(nn.LayerNorm()(x))


class MAPHead(nn.Module):
    config: ViTConfig

    @nn.compact
    def __call__(self, x):
        probe = self.param("probe", nn.initializers.zeros, (1, 1, x.shape[-1]))
        probe = jnp.tile(probe, (x.shape[0], 1, 1))
        x = nn.MultiHeadDotProductAttention(num_heads=self.config.num_heads)(probe, x)
        return (x + MlpBlock(self.config.mlp_dim)(nn.LayerNorm()(x)))[:, 0]


class StdConv(nn.Conv):
    def param(self, name, *args, **kwargs):
        value = super().param(name, *args, **kwargs)
        if name != "kernel":
            return value
        value = value - value.mean(axis=(0, 1, 2))
        return value / (value.std(axis=(0, 1, 2)) + 1e-5)


class ResidualUnit(nn.Module):
    width: int
    stride: int

    @nn.compact
    def __call__(self, x):
        stride = (self.stride, self.stride)
        residual = x
        if x.shape[-1] != 4 * self.width or self.stride != 1:
            residual = StdConv(4 * self.width, (1, 1), stride, use_bias=False, name="conv_proj")(x)
            residual = nn.GroupNorm(name="gn_proj")(residual)
        y = StdConv(self.width, (1, 1), use_bias=False, name="conv1")(x)
        y = nn.relu(nn.GroupNorm(name="gn1")(y))
        y = StdConv(self.width, (3, 3), stride, use_bias=False, name="conv2")(y)
        y = nn.relu(nn.GroupNorm(name="gn2")(y))
        y = StdConv(4 * self.width, (1, 1), use_bias=False, name="conv3")(y)
        return nn.relu(residual + nn.GroupNorm(name="gn3")(y))


class ResNetStage(nn.Module):
    width: int
    units: int
    first_stride: int

    @nn.compact
    def __call__(self, x):
        for i in range(self.units):
            x = ResidualUnit(self.width, 1 if i else self.first_stride, name=f"unit{i + 1}")(x)
        return x


class Posembed(nn.Module):
    rows: int

    @nn.compact
    def __call__(self, x):
        return x + self.param("pos_embedding", nn.initializers.zeros, (1, self.rows, x.shape[-1]))


class Encoder(nn.Module):
    config: ViTConfig
    positions_inside: bool

    @nn.compact
    def __call__(self, x, taps):
        if self.positions_inside:
            x = Posembed(x.shape[1], name="posembed_input")(x)
        taps["patch_encoder"] = x
        for i in range(self.config.depth):
            x = EncoderBlock(self.config, name=f"encoderblock_{i}")(x)
            taps[f"block_{i:02d}"] = x
        return nn.LayerNorm(name="encoder_norm")(x)


class VisionTransformer(nn.Module):
    """vision_transformer (positions inside the encoder) or big_vision (before the class token)."""

    config: ViTConfig
    big_vision: bool

    @nn.compact
    def __call__(self, x):
        c, taps = self.config, {}
        if c.resnet_stages is not None:
            x = StdConv(c.resnet_width, (7, 7), (2, 2), use_bias=False, name="conv_root")(x)
            x = nn.relu(nn.GroupNorm(name="gn_root")(x))
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
            for i, units in enumerate(c.resnet_stages):
                width = c.resnet_width * 2**i
                x = ResNetStage(width, units, 2 if i else 1, name=f"block{i + 1}")(x)
        x = nn.Conv(c.width, c.patch_size, c.patch_size, padding="VALID", name="embedding")(x)
        x = x.reshape(x.shape[0], -1, c.width)
        if self.big_vision and c.position == "learned":
            x = x + self.param("pos_embedding", nn.initializers.zeros, (1, *x.shape[1:]))
        elif c.position == "sincos2d":
            x = x + _sincos2d(*c.grid, c.width)
        if c.class_token:
            cls = self.param("cls", nn.initializers.zeros, (1, 1, c.width))
            x = jnp.concatenate([jnp.tile(cls, (x.shape[0], 1, 1)), x], axis=1)
        inside = not self.big_vision and c.position == "learned"
        x = Encoder(c, inside, name="Transformer")(x, taps)
        if c.pool == "map":
            x = MAPHead(c, name="MAPHead_0")(x)
        else:
            x = x[:, 0] if c.pool == "token" else x.mean(axis=1)
        if c.representation_size:
            x = jnp.tanh(nn.Dense(c.representation_size, name="pre_logits")(x))
        if c.num_classes:
            x = nn.Dense(c.num_classes, name="head")(x)
        return {**taps, "logits": x}


def run(source: "Source", images: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of every layer by our names, for normalised images."""
    model = VisionTransformer(source.config, source.dialect.startswith("big_vision"))
    with jax.default_matmul_precision("float32"):
        taps = model.apply({"params": _tree(source)}, images)
    return {name: np.asarray(value) for name, value in taps.items()}


def _tree(source: "Source") -> dict[str, Any]:
    """The flat names of a file as the nested dictionaries of Flax, in today's spelling."""
    tree: dict[str, Any] = {}
    for name in source.checkpoint:
        array = np.asarray(source.checkpoint[name], np.float32)
        for old, new in (("Attention_1/", "Attention_0/"), ("MlpBlock_3/", "MlpBlock_0/")):
            name = name.replace(old, new)
        name = name.replace("LayerNorm_2/", "LayerNorm_1/")
        if re.search(r"(^|/)gn(\d|_root|_proj)/", name):
            array = array.reshape(-1)
        if source.dialect == "big_vision_scan" and "encoderblock/" in name:
            for i, part in enumerate(array):
                _put(tree, name.replace("encoderblock/", f"encoderblock_{i}/"), part)
        else:
            _put(tree, name, array)
    return tree


def _put(tree: dict[str, Any], name: str, array: np.ndarray) -> None:
    *folders, leaf = name.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[leaf] = array


def _sincos2d(rows: int, columns: int, width: int) -> jnp.ndarray:
    y, x = jnp.mgrid[:rows, :columns]
    omega = 1 / 10_000 ** (jnp.arange(width // 4) / (width // 4 - 1))
    y, x = (jnp.einsum("m,d->md", axis.flatten(), omega) for axis in (y, x))
    return jnp.concatenate([jnp.sin(x), jnp.cos(x), jnp.sin(y), jnp.cos(y)], axis=1)[None]
