# SPDX-License-Identifier: MIT
import math

import pytest

from keras_vit import UserError, ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.training.layouts import check_shards, fsdp_axis, model_axis


def share(config, shards, axis_of):
    """Of the numbers of a model, the share that each device holds."""
    found, held = shapes(config), 0
    for path, shape in found.items():
        held += math.prod(shape) // (1 if axis_of(path, shape) is None else shards)
    return held / sum(map(math.prod, found.values()))


@pytest.mark.parametrize("name", ["S/16", "B/16", "L/16"])
def test_two_devices_hold_little_more_than_half(name):
    config = ViTConfig.of(name)
    assert share(config, 2, lambda path, shape: model_axis(path, shape, 2)) < 0.53
    assert share(config, 2, lambda path, shape: fsdp_axis(shape, 2)) < 0.51


def test_heads_and_hidden_units_of_every_part_are_divided():
    """Of a block with all that it may have, only what is as wide as a token stays whole."""
    config = ViTConfig(
        image_size=16,
        patch_size=8,
        width=32,
        depth=1,
        mlp_dim=64,
        num_heads=4,
        rotary="mixed",
        relative_position_bias=True,
        gated_mlp=True,
        mlp_inner_norm=True,
        attention_inner_norm=True,
        qk_norm=True,
        pool="map",
        layer_scale=0.1,
        num_classes=2,
    )
    divided = {}
    for path, shape in shapes(config).items():
        axis = model_axis(path, shape, 4)
        if axis is not None:
            divided[path] = shape[axis]
    assert set(divided.values()) == {4, 64}  # heads, hidden units
    whole = [p for p in shapes(config) if p.startswith(("block_00", "pool")) and p not in divided]
    assert all(
        any(part in path for part in ("norm", "scale", "probe", "output", "/bias"))
        for path in whole
    )
    assert not [path for path in whole if path.endswith("/kernel")]


def test_adapters_and_the_decoder_of_an_autoencoder_are_divided_too():
    assert model_axis("block_03/attention/query/lora_kernel_a", (32, 4, 8), 2) == 1
    assert model_axis("block_03/attention/query/lora_kernel_b", (8, 16), 2) is None
    assert model_axis("block_03/mlp/output_projection/lora_kernel_a", (64, 8), 2) == 0
    assert model_axis("decoder_block_00/mlp/hidden/kernel", (32, 64), 2) == 1
    assert model_axis("masked_autoencoder/decoder_block_00/mlp/hidden/kernel", (32, 64), 2) == 1
    assert model_axis("head/kernel", (32, 64), 2) is None
    assert model_axis("block_03/attention/query/kernel", (32, 3, 8), 2) is None


def test_the_longest_axis_that_can_be_is_divided():
    assert fsdp_axis((32, 4, 64), 2) == 2
    assert fsdp_axis((33, 1001), 2) is None
    assert fsdp_axis((33, 1000), 2) == 1
    assert fsdp_axis((64,), 2) is None  # saves nothing


def test_heads_that_cannot_be_divided_are_refused():
    with pytest.raises(UserError, match=r"a divisor of model\.num_heads=3"):
        check_shards(ViTConfig.of("Ti/16"), 2)
