# SPDX-License-Identifier: MIT
"""Every layer keeps the contract of `tests/contracts.py`."""

import inspect

import keras
import pytest

from keras_vit import layers
from keras_vit.layers import resnet_stem
from tests.contracts import check_layer

TOKENS = (5, 8)
CASES = {
    "Patches": (lambda **k: layers.Patches((2, 3), **k), (4, 9, 3)),
    "PatchEncoder": (
        lambda **k: layers.PatchEncoder(8, (2, 3), register_tokens=2, dropout=0.1, **k),
        (6, 12),
    ),
    "PatchEncoder, class token outside": (
        lambda **k: layers.PatchEncoder(8, (2, 3), class_token_in_positions=False, **k),
        (6, 12),
    ),
    "PatchEncoder, distillation token": (
        lambda **k: layers.PatchEncoder(8, (2, 3), distillation_token=True, **k),
        (6, 12),
    ),
    "PatchEncoder, sincos2d": (
        lambda **k: layers.PatchEncoder(8, (2, 3), class_token=False, position="sincos2d", **k),
        (6, 12),
    ),
    "PatchEncoder, no positions": (
        lambda **k: layers.PatchEncoder(8, (2, 3), class_token=False, position="none", **k),
        (6, 12),
    ),
    "PatchEncoder, norm": (
        lambda **k: layers.PatchEncoder(8, (2, 3), patch_bias=False, patch_norm=True, **k),
        (6, 12),
    ),
    "PatchDropout": (lambda **k: layers.PatchDropout(0.5, 2, seed=1, **k), TOKENS),
    "FeedForward": (lambda **k: layers.FeedForward(16, "gelu", 0.1, **k), TOKENS),
    "FeedForward, tanh": (lambda **k: layers.FeedForward(16, "gelu_tanh", **k), TOKENS),
    "StochasticDepth": (lambda **k: layers.StochasticDepth(0.5, seed=1, **k), TOKENS),
    "LayerScale": (lambda **k: layers.LayerScale(0.1, **k), TOKENS),
    "TransformerBlock": (lambda **k: layers.TransformerBlock(2, 16, **k), TOKENS),
    "TransformerBlock, everything": (
        lambda **k: layers.TransformerBlock(
            2,
            16,
            dropout=0.1,
            attention_dropout=0.1,
            stochastic_depth=0.1,
            layer_scale=0.1,
            activation="gelu_tanh",
            norm_epsilon=1e-5,
            attention={"qk_norm": True},
            **k,
        ),
        TOKENS,
    ),
    "TransformerBlock, RMSNorm and a gate": (
        lambda **k: layers.TransformerBlock(
            2,
            16,
            norm="rms",
            norm_placement="after",
            activation="silu",
            attention={"qk_norm": True, "inner_norm": True, "qkv_bias": "query_value"},
            mlp={"gated": True, "inner_norm": True, "use_bias": False},
            **k,
        ),
        TOKENS,
    ),
    "TransformerBlock, positions": (
        lambda **k: layers.TransformerBlock(
            2,
            16,
            attention={
                "rotary": {"kind": "mixed", "grid": (2, 2), "num_prefix_tokens": 1},
                "relative_position_bias": {"grid": (2, 2), "class_token": True},
            },
            **k,
        ),
        TOKENS,
    ),
    "RMSNorm": (lambda **k: layers.RMSNorm(1e-5, **k), TOKENS),
    "RotaryEmbedding": (
        lambda **k: layers.RotaryEmbedding("axial", (2, 3), 1, reference_grid=(4, 4), **k),
        (7, 2, 8),
    ),
    "TokenPool": (lambda **k: layers.TokenPool("token", 2, index=1, **k), TOKENS),
    "TokenPool, both": (lambda **k: layers.TokenPool("token_and_average", 2, **k), TOKENS),
    "TokenPool, average": (lambda **k: layers.TokenPool("average", 2, **k), TOKENS),
    "AttentionPool": (lambda **k: layers.AttentionPool(2, 16, **k), TOKENS),
    "StandardizedConv2D": (lambda **k: layers.StandardizedConv2D(8, 3, **k), (8, 8, 3)),
    "BottleneckUnit": (lambda **k: resnet_stem.BottleneckUnit(32, stride=2, **k), (8, 8, 64)),
    "ResNetStem": (lambda **k: layers.ResNetStem((1, 1), 32, **k), (32, 48, 3)),
    "ResNetStem, root": (lambda **k: layers.ResNetStem((), 32, **k), (32, 48, 3)),
}
INSIDE_A_BLOCK = {"Attention", "RelativePositionBias"}  # their inputs are not one tensor


@pytest.mark.parametrize("name", CASES)
def test_layer(name, tmp_path):
    make, input_shape = CASES[name]
    check_layer(make, input_shape, tmp_path)


def test_every_layer_has_a_case():
    public = {
        name
        for name, value in vars(layers).items()
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer)
    }
    covered = {name.partition(",")[0] for name in CASES} | INSIDE_A_BLOCK
    assert public <= covered
