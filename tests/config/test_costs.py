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


# Of all patches and of 4 visible ones, by a closed form that this package had before it counted
# from shapes.
OPTIONS = [
    ({}, 2_294_336, 645_696),
    ({"pool": "map"}, 2_449_984, 683_072),
    ({"representation_size": 24, "num_classes": 7}, 2_295_888, 647_248),
    ({"distillation_token": True}, 2_360_960, 697_984),
    # One more product of 32 by 128 in each of two blocks, for 33 tokens and for 5.
    ({"gated_mlp": True}, 2_294_336 + 2 * 2 * 33 * 32 * 128, 645_696 + 2 * 2 * 5 * 32 * 128),
    # A head of twice the width.
    ({"pool": "token_and_average"}, 2_294_336 + 2 * 32 * 5, 645_696 + 2 * 32 * 5),
    ({"resnet_stages": (1, 2), "resnet_width": 32, "patch_size": 4}, 22_268_480, 22_370_880),
    ({"resnet_stages": (), "resnet_width": 32}, 5_229_120, 5_331_520),
]


def small(changes):
    config = ViTConfig.of("mu/8", image_size=(64, 32), num_classes=5)
    return dataclasses.replace(config, depth=2, **changes)


@pytest.mark.parametrize(
    ("name", "flops"),
    [("B/16", 35_127_656_448), ("R50+L/32", 38_826_590_208), ("e/14", 1_981_353_873_408)],
)
def test_golden(name, flops):
    assert ViTConfig.of(name).forward_flops() == flops


@pytest.mark.parametrize(("changes", "flops", "of_visible"), OPTIONS)
def test_golden_options(changes, flops, of_visible):
    assert small(changes).forward_flops() == flops
    assert small(changes).forward_flops(visible=4) == of_visible


@pytest.mark.parametrize("changes", [changes for changes, *_ in OPTIONS])
def test_each_option_by_the_variables_of_its_model(changes):
    """Every dense and convolution kernel is used once for each place of its output."""
    config = small(changes)
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
