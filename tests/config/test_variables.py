# SPDX-License-Identifier: MIT
"""The variables of a model are known without Keras."""

import numpy as np
import pytest

from keras_vit import ViTConfig, vit
from keras_vit.config.variables import shapes


@pytest.mark.parametrize(
    "config",
    [
        ViTConfig.of("Ti/16", image_size=32, depth=1),
        ViTConfig.of("R26+S/32", image_size=64, depth=1, num_classes=3),
        ViTConfig.of(
            "mu/16", image_size=32, pool="map", class_token=False, qk_norm=True, layer_scale=0.1
        ),
        ViTConfig.of(
            "mu/16", image_size=32, register_tokens=2, head_bias=None, representation_size=7
        ),
        ViTConfig.of(
            "mu/16",
            **{"image_size": 32, "norm": "rms", "qk_norm": True, "rotary": "mixed"},
            **{"gated_mlp": True, "mlp_inner_norm": True, "attention_inner_norm": True},
            **{"qkv_bias": "query_value", "dense_bias": False, "patch_norm": True},
        ),
        ViTConfig.of(
            "mu/16",
            **{"image_size": 32, "relative_position_bias": True, "position": "none"},
            **{"patch_bias": False, "embedding_norm": True, "final_norm": False},
            **{"pool": "token_and_average", "representation_size": 9},
        ),
        ViTConfig.of("mu/16", image_size=32, pool="map", pool_heads=1, pool_mlp_dim=7),
    ],
    ids=str,
)
def test_variables_are_known_without_keras(config):
    found = {v.path: tuple(v.shape) for v in vit(config).weights}
    assert found == shapes(config)
    assert sum(np.prod(shape, dtype=int) for shape in found.values()) == config.num_parameters
