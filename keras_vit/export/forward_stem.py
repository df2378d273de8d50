# SPDX-License-Identifier: MIT
"""The ResNet of a hybrid in the exported graph; see `keras_vit.export.forward`."""

from keras_vit.config import ViTConfig
from keras_vit.export.forward_parts import affine
from keras_vit.layers.resnet_stem import FORMS

_GROUPS = 32  # of every GroupNorm in a stem


def stem(ops, config: ViTConfig, x):
    """From normalised pixels to maps of features; see `keras_vit.layers.ResNetStem`."""
    size = _strided(config.image_size, 2)
    with ops.scope("resnet_stem"):
        x = ops.relu(_convolution(ops, config, x, "root", size, 2))
        size = _strided(size, 2)
        x = ops.max_pool(x, 3, 2)
        for stage, count in enumerate(config.resnet_stages):
            for unit in range(count):
                name, stride = f"block{stage + 1}_unit{unit + 1}", 2 if stage and not unit else 1
                x = _bottleneck(ops, config, x, name, size, stride)
                size = _strided(size, stride)
    return x


def _bottleneck(ops, config: ViTConfig, x, name: str, size: tuple[int, ...], stride: int):
    after = _strided(size, stride)
    shortcut = x
    if ops.has(f"{name}/_proj/kernel"):
        # Not by a stride of the convolution: LiteRT's GPUs ignore that of an int8 1 x 1 kernel.
        shortcut = ops.every_second(x) if stride == 2 else x
        shortcut = _convolution(ops, config, shortcut, f"{name}/_proj", after, 1)
    x = ops.relu(_convolution(ops, config, x, f"{name}/1", size, 1))
    x = ops.relu(_convolution(ops, config, x, f"{name}/2", after, stride))
    return ops.relu(ops.add(shortcut, _convolution(ops, config, x, f"{name}/3", after, 1)))


def _convolution(ops, config: ViTConfig, x, name: str, size: tuple[int, ...], stride: int):
    """A convolution to maps of `size`, and its GroupNorm."""
    (height, width), channels = size, ops.weight_shape(f"{name}/kernel")[-1]
    x = ops.convolve(x, f"{name}/kernel", stride)
    x = ops.reshape(x, (-1, height * width, _GROUPS, channels // _GROUPS))
    mean = ops.mean(x, axes=(1, 3), keepdims=True)
    x = ops.add(x, ops.multiply(mean, ops.number(-1.0)))
    variance = ops.mean(ops.multiply(x, x), axes=(1, 3), keepdims=True)
    epsilon = ops.number(FORMS[config.resnet_form]["norm_epsilon"])
    x = ops.multiply(x, ops.rsqrt(ops.add(variance, epsilon)))
    return affine(ops, ops.reshape(x, (-1, height, width, channels)), name)


def _strided(size: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(-(-side // stride) for side in size)
