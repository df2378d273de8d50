# SPDX-License-Identifier: MIT
"""Operations of a forward pass, against published counts and the shapes of the kernels."""

import dataclasses

import keras
import pytest

from keras_vit import ViTConfig, vit


@pytest.mark.parametrize(
    ("name", "size", "published"), [("S/16", 224, 4.6), ("B/16", 224, 17.5), ("B/16", 384, 55.4)]
)
def test_published(name, size, published):
    """Swin (arXiv 2103.14030, table 1) lists DeiT-S, DeiT-B and ViT-B/16 in billions, with a
    multiplication and its addition as one; 1 % is its rounding and what counters leave out."""
    config = ViTConfig.of(name, image_size=size)
    assert config.forward_flops() / 2e9 == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pool": "map"},
        {"representation_size": 24, "num_classes": 7},
        {"distillation_token": True},
        {"resnet_stages": (1, 2), "resnet_width": 32, "patch_size": 4},
        {"resnet_stages": (), "resnet_width": 32},
    ],
)
def test_each_option_by_the_shapes_of_its_layers(changes):
    """Every dense and convolution kernel is used once for each place of its output."""
    config = ViTConfig.of("mu/8", image_size=(64, 32), num_classes=5)
    config = dataclasses.replace(config, depth=2, **changes)
    total = 0
    n = config.num_tokens
    read = n - config.num_prefix_tokens  # by a pool of attention
    for variable in vit(config).weights:
        if not variable.path.endswith("kernel"):
            continue
        path = variable.path
        size = int(keras.ops.size(variable))
        if path.startswith("resnet_stem"):
            total += size * _cells(config, path)
        elif path.startswith("patch_encoder"):
            total += size * config.num_patches
        elif path.startswith("pool/"):
            total += size * (read if "/key/" in path or "/value/" in path else 1)
        elif path.startswith("block"):
            total += size * n
        else:
            total += size
    total += config.depth * 2 * n * n * config.width
    total += 2 * read * config.width if config.pool == "map" else 0
    assert config.forward_flops() == 2 * total


def _cells(config, path):
    """Places of a convolution's output, from the names of the stem."""
    height, width = config.image_size
    if "root_conv" in path:
        return height * width // 4
    stage = int(path.split("block")[1][0])
    first = "unit1" in path
    # conv1 of a stage's first unit still sees the size of the stage before.
    halvings = stage - 1 - (1 if first and "conv1" in path and stage > 1 else 0)
    return height * width // 16 // 4**halvings
