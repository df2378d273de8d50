# SPDX-License-Identifier: MIT
import dataclasses
import json

import pytest

from keras_vit import UserError, ViTConfig


def test_derived_values():
    config = ViTConfig.of("S/16", image_size=(96, 64), register_tokens=2)
    assert config.grid == (6, 4)
    assert config.num_patches == 24
    assert config.num_tokens == 27
    assert config.patch_pixels == 768
    assert config.head_dim == 64


@pytest.mark.parametrize(
    ("name", "grid", "channels"),
    [
        ("R+Ti/16", (7, 7), 64),
        ("R26+S/32", (7, 7), 2048),
        ("R50+B/16", (14, 14), 1024),
        ("R50+L/32", (7, 7), 2048),
    ],
)
def test_hybrids(name, grid, channels):
    config = ViTConfig.of(name)
    assert config.grid == grid
    assert config.stem_channels == channels


def test_any_size_goes_with_any_patch():
    assert ViTConfig.of("So400m/7").num_patches == 32 * 32


def test_json_there_and_back():
    config = ViTConfig.of("R26+S/32", num_classes=7, layer_scale=1e-5, pixel_mean=(0.1, 0.2, 0.3))
    assert ViTConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_equal_statistics_are_one_number():
    assert ViTConfig(pixel_mean=(0.5, 0.5, 0.5)) == ViTConfig(pixel_mean=0.5)


@pytest.mark.parametrize("name", ["S16", "S-16", "X/16", "S/0", "S/x", "", "R51+B/16", "s/16"])
def test_a_wrong_name_is_answered_with_suggestions(name):
    with pytest.raises(UserError, match="unknown model") as error:
        ViTConfig.of(name)
    assert "keras-vit list models" in str(error.value)


def test_near_names_are_offered():
    with pytest.raises(UserError, match=r"Did you mean S/16"):
        ViTConfig.of("S16")
    with pytest.raises(UserError, match="Did you mean num_classes"):
        ViTConfig.of("S/16", numclasses=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, "divisor of width=768, received 5. Try num_heads=4"),
        ({"image_size": 225}, "multiple of 16 pixels .* received 225. Try 224 or 240"),
        ({"image_size": (224, 8)}, "width that is a multiple of 16 .* Try 16"),
        ({"image_size": 224.0}, "whole number"),
        ({"patch_size": (16, 16, 3)}, "two of them"),
        ({"pool": "mean"}, "unknown pool 'mean'"),
        ({"class_token": False}, "pool='token' reads the class token"),
        ({"norm_after_pool": True}, "goes with pool='average'"),
        ({"dropout": 1.0}, "dropout: expected a number from 0 to 0.99, received 1.0"),
        ({"depth": 0}, "depth: expected a number from 1 to 1000, received 0"),
        ({"position": "sincos2d", "width": 6, "num_heads": 2}, "multiple of 4"),
        ({"rotary": "axial", "width": 6, "num_heads": 1}, "a multiple of 4, received 6"),
        ({"relative_position_bias": True, "register_tokens": 2}, "received 2 others"),
        ({"pool": "token_and_average", "class_token": False}, "reads the class token"),
        ({"pool": "map", "pool_heads": 5}, "pool_heads: expected a divisor of width=768"),
        ({"norm": "batch"}, "unknown norm .batch."),
        ({"norm_epsilon": 0}, "norm_epsilon: expected a number from 1e-12 to 1"),
        ({"pixel_std": (1, 0, 1)}, "pixel_std: expected a number from 1e-09"),
        ({"pixel_mean": "abc"}, "pixel_mean: expected a list"),
        ({"width": 10**12 + 39, "num_heads": 7}, "width: expected a number from 1 to 65536"),
        ({"resnet_stages": 5}, "resnet_stages: expected a list"),
        ({"resnet_stages": (1,) * 50_000}, "at most 8 stages"),
        ({"depth": True}, "depth: expected a whole number, received True"),
        ({"pixel_mean": (0.1, 0.2)}, "one for each of 3 channels"),
        ({"distillation_token": True, "representation_size": 8}, "representation_size=0"),
    ],
)
def test_a_wrong_value_says_what_was_expected_and_received(change, message):
    with pytest.raises(UserError, match=message):
        ViTConfig(**change)
