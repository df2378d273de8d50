# SPDX-License-Identifier: MIT
"""The closed form of `ViTConfig.flops` against a count over the layers of the model."""

import math

import keras
import pytest

from keras_vit import ViTConfig, vit
from keras_vit.layers import AttentionPool, TransformerBlock

AVERAGE = {"class_token": False, "pool": "average"}
MODELS = [
    ("mu/16", {}),
    ("mu/8", {"image_size": (32, 48), "register_tokens": 3, "representation": 24}),
    ("mu/16", {"pool": "map", "class_token": False}),
    ("mu/16", {**AVERAGE, "position": "sincos2d", "num_classes": 0}),
    ("mu/16", {"distillation_token": True}),
    ("R+Ti/16", {"depth": 1, "image_size": 64}),
    ("R26+S/32", {"depth": 1, "image_size": 96}),
    ("R50+B/16", {"depth": 1, "image_size": 64, "width": 24, "mlp_width": 8}),
]


def counted(model):
    """Multiplications and additions of kernels and of attention, from the model's own shapes."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, TransformerBlock):
            total += in_block(layer, layer.output.shape[1], layer.output.shape[1])
        elif isinstance(layer, AttentionPool):
            total += in_block(layer, 1, layer.input.shape[1])
        elif layer.name in ("pre_logits", "head", "distillation_head"):  # of one token
            total += math.prod(layer.kernel.shape)
        elif layer.name == "patch_encoder":
            total += layer.input.shape[1] * math.prod(layer.projection.kernel.shape)
        elif layer.name == "resnet_stem":
            total += in_stem(layer, layer.input.shape)
    return 2 * total


def in_block(layer, queries, keys):
    kernels = {v.path.split("/", 1)[1]: math.prod(v.shape) for v in layer.trainable_variables}
    seen_by_keys = ("attention/key/kernel", "attention/value/kernel")
    total = 0
    for path, size in kernels.items():
        if path.endswith("/kernel"):
            total += (keys if path in seen_by_keys else queries) * size
    heads, size = layer.attention._query_dense.kernel.shape[1:]
    return total + 2 * queries * keys * heads * size


def in_stem(stem, shape):
    """Runs the stem and looks at what each convolution puts out."""
    seen = []
    call = keras.layers.Conv2D.call

    def spying(layer, x):
        y = call(layer, x)
        seen.append(math.prod(y.shape[1:3]) * math.prod(layer.kernel.shape))
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.layers.Conv2D, "call", spying)
        stem(keras.ops.zeros((1, *shape[1:])))
    return sum(seen)


@pytest.mark.parametrize(("name", "changes"), MODELS)
def test_closed_form(name, changes):
    config = ViTConfig.of(name, **{"image_size": 32, "num_classes": 10, **changes})
    assert config.flops == counted(vit(config))


def test_published_counts():
    """4.6 and 17.6 billion multiply-adds of DeiT-S and DeiT-B (arXiv 2012.12877, table 5, and
    timm's count with attention); 2 operations each."""
    assert ViTConfig.of("S/16").flops / 2e9 == pytest.approx(4.6, abs=0.05)
    assert ViTConfig.of("B/16").flops / 2e9 == pytest.approx(17.6, abs=0.05)
