# SPDX-License-Identifier: MIT
"""What timm cannot express is refused in words; what it can has an architecture."""

import dataclasses

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.preprocessing import View
from keras_vit.weights import open_source
from keras_vit.weights.adapters.timm_writing import config_json
from keras_vit.weights.saving import save_arrays

TINY = ViTConfig(image_size=8, patch_size=4, width=24, depth=1, mlp_dim=48, num_heads=2)


def config_of(**changes):
    return dataclasses.replace(TINY, **changes)


def save_zeros(config, path):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes(config).items()}
    save_arrays(config, arrays, path, "timm")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"representation_size": 8}, "tanh layer before the head"),
        ({"pool": "token_and_average"}, "the class token and the average"),
        ({"embedding_norm": True}, "a bias of the patches with a norm before the blocks"),
        ({"norm_placement": "after", "layer_scale": 0.1}, "LayerScale with norms after"),
        ({"rotary": "axial", "activation": "relu"}, "activations other than GELU"),
        ({"rotary": "axial", "norm": "rms"}, "RMS norms with what Eva alone has"),
        ({"rotary": "axial", "patch_norm": True}, "a norm of patches with what Eva alone has"),
        ({"rotary": "axial", "pool": "map"}, "a pool of attention, or an average, over other"),
        ({"relative_position_bias": True, "norm": "rms", "position": "none"}, "relative positions"),
        ({"relative_position_bias": True}, "with a table of positions"),
        (
            {"relative_position_bias": True, "qkv_bias": "query_value", "qk_norm": True},
            "relative positions of BEiT",
        ),
    ],
)
def test_what_timm_cannot_express(changes, words, tmp_path):
    with pytest.raises(UserError, match=words):
        save_zeros(config_of(**changes), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"norm_epsilon": 1e-4},
        {"gated_mlp": True, "activation": "silu", "norm_epsilon": 1e-5},
        {"norm_placement": "after", "norm_epsilon": 1e-5},
        {"norm": "rms", "patch_norm": True},
    ],
)
def test_an_epsilon_that_no_architecture_has(changes):
    with pytest.raises(UserError, match="cannot say norm_epsilon="):
        config_json(config_of(**changes), View())


@pytest.mark.parametrize(
    ("changes", "architecture"),
    [
        ({"patch_bias": False, "embedding_norm": True, "norm_epsilon": 1e-5}, "_clip_224"),
        ({"rotary": "mixed", "position": "none"}, "eva02_tiny"),
        ({"qkv_bias": "query_value", "norm_epsilon": 1e-5}, "vit_pe_core"),
        ({"norm": "rms"}, "test_vit4"),
        ({"norm_placement": "after"}, "_rpn_224"),
    ],
)
def test_an_architecture_that_has_what_arguments_cannot_say(changes, architecture, tmp_path):
    config = config_of(**changes)
    assert architecture in config_json(config, View())["architecture"]
    save_zeros(config, tmp_path / "x")
    back = open_source(tmp_path / "x").config
    layer_scale = {"layer_scale": back.layer_scale}  # its first value is not in a file
    assert back == dataclasses.replace(config, **layer_scale)


def test_biases_that_a_class_always_has_are_zeros(tmp_path):
    config = config_of(rotary="axial", dense_bias=False, qkv_bias="none")
    save_zeros(config, tmp_path / "x")
    assert open_source(tmp_path / "x").config == dataclasses.replace(config, dense_bias=True)
