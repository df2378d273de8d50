# SPDX-License-Identifier: MIT
"""The exported graph against the layers that were trained."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit import UserError, vit
from keras_vit.analysis import attention_maps
from keras_vit.export.folding import fold
from keras_vit.export.forward import forward
from keras_vit.export.tensorflow_ops import TensorFlowOps
from tests.contracts import randomize, slow_but, to_numpy
from tests.models.test_vit import OPTIONS, tiny

MORE = {
    "statistics of a hybrid": {
        **OPTIONS["hybrid"],
        "pixel_mean": (0.4, 0.5, 0.6),
        "pixel_std": (0.2, 0.3, 0.1),
        "resnet_form": "timm",
    },
    "map with class token and representation": {"pool": "map", "representation_size": 12},
    "average with registers in positions": {
        "pool": "average",
        "register_tokens": 2,
        "register_tokens_in_positions": True,
    },
    "map with all tokens": {"pool": "map", "register_tokens": 2, "pool_includes_prefix": True},
    "one block": {"depth": 1, "layer_scale": 0.1, "distillation_token": True},
    "norms everywhere": {
        **{"patch_norm": True, "embedding_norm": True, "attention_inner_norm": True},
        **{"mlp_inner_norm": True, "gated_mlp": True, "activation": "quick_gelu"},
    },
    "relative positions of the class token": {
        **{"relative_position_bias": True, "qkv_bias": "none", "dense_bias": False},
        **{"mlp_inner_norm": True, "activation": "quick_gelu"},
    },
    "Perception Encoder": {
        **{"rotary": "axial", "rotary_offset": 1.0, "embedding_norm": True},
        **{"pool": "map", "pool_heads": 4},
    },
    "turned after a norm": {"rotary": "axial", "qk_norm": True, "distillation_token": True},
    "RMS norms after the branches": {
        **{"norm": "rms", "norm_placement": "after", "layer_scale": 0.1},
        "relative_position_bias": True,
    },
    "one more after the pool": {
        "norm_placement": "after",
        "pool": "average",
        "norm_after_pool": True,
        "layer_scale": 0.1,
    },
    "map without a norm": {"pool": "map", "final_norm": False, "register_tokens": 1},
    "both pools, RMS": {
        **{"norm": "rms", "embedding_norm": True, "pool": "token_and_average"},
        **{"final_norm": False, "representation_size": 12},
    },
}
ALL = {**OPTIONS, **MORE}
# Together they have every operator; the files of the others are written in the slow tests.
OFTEN = (
    *("plain", "hybrid", "average", "CLIP", "EVA-02", "AIMv2", "mixed rotary positions"),
    *("distillation", "norms everywhere", "relative positions of the class token"),
    *("Perception Encoder", "map without a norm", "both pools, RMS", "one more after the pool"),
)


def relative(found, expected):
    return np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)))


@pytest.mark.parametrize("name", slow_but(OFTEN, ALL))
def test_every_option_gives_the_model_s_numbers(name):
    config = tiny(**ALL[name])
    model = vit(config)
    randomize(model)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, config.channels), "uint8")
    folded = fold(model)
    pixels = tf.constant(images, tf.float32)
    wanted, ops = ("logits", "features", "attention"), TensorFlowOps(folded.weights)
    found = forward(ops, config, pixels, wanted)
    alone = forward(ops, config, pixels)  # by another way through the last block

    # Weights are rounded to float32 once more, and sums run in another order.
    assert relative(found["logits"].numpy(), to_numpy(model(images))) < 1e-5
    assert relative(alone["logits"].numpy(), to_numpy(model(images))) < 1e-5
    maps = attention_maps(model, images)[-1]
    np.testing.assert_allclose(found["attention"].numpy(), maps, atol=1e-5)
    layer = model.get_layer("pre_logits" if config.representation_size else "pool")
    if config.norm_after_pool:
        layer = model.get_layer("encoder_norm")
    tapped = type(model)(model.input, layer.output)(images)
    if config.distillation_token:
        second = model.get_layer("distillation_pool").output
        tapped = (tapped + type(model)(model.input, second)(images)) / 2
    assert relative(found["features"].numpy(), to_numpy(tapped)) < 1e-5


def counted(method):
    def run(ops, x, *args, **options):
        found = method(ops, x, *args, **options)
        ops.products += found.shape.num_elements() * x.shape[-1]
        return found

    return run


class CountingOps(TensorFlowOps):
    """Adds up the multiplications in products of matrices."""

    products = 0
    matmul = counted(lambda _, x, y, **options: tf.matmul(x, y, **options))
    dense = counted(TensorFlowOps.dense)
    dense_transposed = counted(TensorFlowOps.dense_transposed)


def products(config, *outputs):
    ops = CountingOps(fold(vit(config)).weights)
    forward(ops, config, tf.zeros((1, 16, 24, 3)), outputs)
    return ops.products


def test_the_last_block_computes_what_the_class_token_reads():
    config = tiny(depth=1)
    whole = config.num_tokens * config.width**2  # of one matrix that every token meets
    (height, width), patches = config.patch_size, config.num_patches
    projection = patches * height * width * config.channels * config.width
    assert products(config, "logits") < projection + whole
    assert products(config, "logits", "attention") > projection + 3 * whole
    assert products(tiny(depth=1, pool="average"), "logits") > projection + 10 * whole


def test_the_names_of_the_dense_layers_are_in_order():
    folded = fold(vit(tiny(pool="map", class_token=False)))
    first = ("patches", "block_00/qkv", "block_00/attention_output", "block_00/mlp_hidden")
    assert folded.dense_layers()[:4] == first
    assert folded.dense_layers()[-2:] == ("pool/mlp_output", "head")
    assert folded.nbytes == sum(4 * array.size for array in folded.weights.values())


def test_the_residual_stream_has_no_mean():
    """What the LayerNorms of the exported graph rely on."""
    model = vit(tiny(layer_scale=0.5, register_tokens=2))
    randomize(model)
    weights = fold(model).weights
    for name in ("patches/kernel", "tokens/table", "block_01/mlp_output/kernel"):
        assert np.abs(weights[name].mean(axis=-1)).max() < 1e-7  # float32 of numbers around 0.1


def test_other_models_are_refused():
    import keras

    inputs = keras.Input((4, 4, 3))
    with pytest.raises(UserError, match=r"expected a model built by keras_vit\.vit"):
        fold(keras.Model(inputs, keras.layers.Flatten()(inputs)))
