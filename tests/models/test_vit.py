# SPDX-License-Identifier: MIT
import dataclasses

import keras
import numpy as np
import pytest

from keras_vit import ViT, ViTConfig, config_of, vit
from keras_vit.config import HYBRIDS, VARIANTS, variant_names
from tests.contracts import randomize, slow_but, to_numpy

# Weights at 224 pixels and 1,000 classes. Those of Ti, S, B, L, H and the hybrids are those that
# the reference implementation's own tests state; the others follow from the paper's table.
GOLDEN = {
    "mu/16": 76_712,
    "Ti/16": 5_717_416,
    "S/32": 22_878_952,
    "S/16": 22_050_664,
    "M/16": 38_837_736,
    "B/32": 88_224_232,
    "B/16": 86_567_656,
    "B/8": 86_576_872,
    "L/32": 306_535_400,
    "L/16": 304_326_632,
    "So400m/14": 413_597_656,
    "H/14": 632_045_800,
    "g/14": 1_012_611_432,
    "g-opt/14": 1_136_101_864,
    "G/14": 1_844_440_680,
    "G-opt/14": 1_664_842_216,
    "e/14": 3_807_214_312,
    "R+Ti/16": 6_337_704,
    "R26+S/32": 36_431_912,
    "R26+B/32": 101_383_976,
    "R50+B/16": 98_659_112,
    "R50+L/32": 328_994_856,
}
AVERAGE = {"class_token": False, "pool": "average"}
CHANGED = [
    ("S/16", AVERAGE, 22_049_896),
    ("S/32", AVERAGE, 22_878_184),
    ("B/16", AVERAGE, 86_566_120),
    ("B/32", AVERAGE, 88_222_696),
    ("S/16", {**AVERAGE, "position": "sincos2d", "representation_size": 384}, 22_122_472),
    ("B/16", {"num_classes": 0}, 85_798_656),
    ("B/32", {"num_classes": 0}, 87_455_232),
    ("L/16", {"num_classes": 0}, 303_301_632),
    ("H/14", {"num_classes": 0}, 630_764_800),
    ("B/16", {"num_classes": 0, "image_size": 384}, 86_090_496),
    ("B/32", {"num_classes": 0, "image_size": 384}, 87_528_192),
    ("L/16", {"num_classes": 0, "image_size": 384}, 303_690_752),
    ("L/32", {"num_classes": 0, "image_size": 384}, 305_607_680),
    ("B/16", {"num_classes": 21_843, "representation_size": 768}, 103_186_515),
    # The smallest model of the reference's tests.
    ("B/16", {"width": 10, "depth": 1, "mlp_dim": 10, "num_heads": 2}, 21_390),
    # ViT-CIFAR: 7 layers, MLP as wide as the tokens.
    (
        "S/4",
        {"image_size": 32, "num_classes": 10, "depth": 7, "mlp_dim": 384, "num_heads": 12},
        6_268_810,
    ),
    # The teaching notebook, 119,098 without a final LayerNorm; ours has one of 2 * 48 weights.
    (
        "Ti/4",
        {
            "image_size": 32,
            "num_classes": 10,
            "width": 48,
            "depth": 4,
            "mlp_dim": 192,
            "num_heads": 4,
        },
        119_098 + 96,
    ),
]

TINY = {
    "image_size": (16, 24),
    "num_classes": 3,
    "width": 16,
    "depth": 2,
    "mlp_dim": 32,
    "num_heads": 2,
}
OPTIONS = {
    "plain": {},
    "average": AVERAGE,
    "average, normed after": {**AVERAGE, "norm_after_pool": True},
    "map": {"class_token": False, "pool": "map"},
    "map with registers": {"pool": "map", "register_tokens": 2},
    "average of all tokens": {"pool": "average", "pool_includes_prefix": True},
    "registers": {"register_tokens": 3},
    "class token outside": {"class_token_in_positions": False},
    "distillation": {"distillation_token": True, "register_tokens": 1},
    "distillation without heads": {"distillation_token": True, "num_classes": 0},
    "sincos2d": {"position": "sincos2d"},
    "no positions": {"position": "none"},
    "layer scale and QK-norm": {"layer_scale": 1e-4, "qk_norm": True},
    # The first block of several drops nothing.
    "dropouts": {"depth": 2, "dropout": 0.1, "attention_dropout": 0.2, "stochastic_depth": 0.3},
    "representation_size": {"representation_size": 24, "head_bias": -6.9},
    "no head": {"num_classes": 0},
    "no head bias": {"head_bias": None},
    "statistics": {"pixel_mean": (0.485, 0.456, 0.406), "pixel_std": (0.229, 0.224, 0.225)},
    "mean of each channel alone": {"pixel_mean": (0.4, 0.5, 0.6), "pixel_std": 0.25},
    "one channel": {"channels": 1},
    "tanh": {"activation": "gelu_tanh", "norm_epsilon": 1e-12},
    "CLIP": {"patch_bias": False, "embedding_norm": True, "activation": "quick_gelu"},
    "EVA-02": {
        **{"rotary": "axial", "rotary_reference_grid": 4, "qkv_bias": "query_value"},
        **{"gated_mlp": True, "activation": "silu", "mlp_inner_norm": True},
        "attention_inner_norm": True,
    },
    "DINOv3": {"rotary": "dinov3", "rotary_temperature": 100.0, "register_tokens": 2},
    "mixed rotary positions": {"rotary": "mixed", "final_norm": False},
    "BEiT": {"relative_position_bias": True, "position": "none", "pool": "average"},
    "AIMv2": {
        **{"norm": "rms", "patch_norm": True, "qkv_bias": "none", "dense_bias": False},
        **{"gated_mlp": True, "activation": "silu", "pool": "average", "qk_norm": True},
    },
    "norms after the branches": {"norm_placement": "after", "activation": "relu"},
    "token and average": {"pool": "token_and_average", "register_tokens": 1},
    "a pool of its own sizes": {"pool": "map", "pool_heads": 1, "pool_mlp_dim": 7},
    "not square": {"patch_size": (4, 8)},
    "hybrid": {"resnet_stages": (1, 1), "resnet_width": 32, "patch_size": 1},
}


def tiny(**options):
    return ViTConfig.of("Ti/4", **{**TINY, **options})


def one_block(option):
    """The model of an option, as small as it shows."""
    return tiny(**{"depth": 1, **OPTIONS[option]})


def assert_counted(config):
    """The graph has as many parameters as are counted: with two blocks, for all are made alike."""
    short = dataclasses.replace(config, depth=min(config.depth, 2))
    assert count_without_weights(short) == short.num_parameters


def count_without_weights(config):
    """Counts on the whole graph, of variables that have a shape and no value."""
    with keras.StatelessScope(initialize_variables=False):
        count = vit(config).count_params()
    keras.utils.clear_session()  # else Keras would give them values when the next scope ends
    return count


def test_every_variant_has_a_golden_count():
    assert set(GOLDEN) == set(variant_names())
    assert {name.rpartition("/")[0].rpartition("+")[2] for name in GOLDEN} == set(VARIANTS)
    assert set(HYBRIDS) <= set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_count(name):
    config = ViTConfig.of(name)
    assert config.num_parameters == GOLDEN[name]
    assert_counted(config)


@pytest.mark.parametrize("name", slow_but(["Ti/16"], ["Ti/16", "e/14", "R50+L/32"]))
def test_golden_count_of_the_whole_graph(name):
    assert count_without_weights(ViTConfig.of(name)) == GOLDEN[name]


@pytest.mark.parametrize(("name", "changes", "count"), CHANGED)
def test_published_count_of_a_change(name, changes, count):
    config = ViTConfig.of(name, **changes)
    assert config.num_parameters == count
    assert_counted(config)


@pytest.mark.parametrize("name", slow_but(list(OPTIONS)[::2], OPTIONS))
def test_option(name, tmp_path):
    """Counts, shapes, saving and the ways back to the configuration, for every option."""
    config = one_block(name)
    model = vit(config)
    assert model.count_params() == config.num_parameters
    randomize(model)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24, config.channels), "uint8")
    y = to_numpy(model(images))
    features = config.representation_size or config.width
    assert y.shape == (3, config.num_classes or features)
    assert y.dtype == np.float32

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(images)), y)
    assert config_of(loaded) == config
    # Read from a graph that knows nothing of configurations, as `clone_model` makes it.
    assert ViT(model.input, model.output).config == config
    assert keras.models.clone_model(model).config == config


def test_layer_names_are_api():
    model = vit(tiny(representation_size=8, resnet_stages=(), resnet_width=32, patch_size=1))
    assert [layer.name for layer in model.layers] == [
        *("pixels", "rescaling", "resnet_stem", "patches", "patch_encoder"),
        *("block_00", "block_01", "encoder_norm", "pool", "pre_logits", "head"),
    ]
    names = [layer.name for layer in vit(tiny(distillation_token=True)).layers]
    assert set(names[-4:]) == {"head", "distillation_pool", "distillation_head", "logits"}


def test_pixels_are_normalised_inside():
    config = tiny(pixel_mean=(0.1, 0.2, 0.3), pixel_std=(0.5, 0.25, 0.2))
    model = vit(config)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), "uint8")
    seen = to_numpy(model.get_layer("rescaling")(images))
    expected = (images / 255 - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.25, 0.2])
    # float32 of numbers up to 4.
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_integer_and_float_pixels_are_the_same():
    model = vit(tiny())
    randomize(model)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), "uint8")
    np.testing.assert_array_equal(
        to_numpy(model(images)), to_numpy(model(images.astype("float32")))
    )


def test_the_norm_comes_before_or_after_the_average():
    """The same weights, the two places of the norm, against NumPy on the tokens."""
    images = np.random.default_rng(0).normal(100, 50, (2, 16, 24, 3)).astype("float32")
    before, after = vit(tiny(**AVERAGE, num_classes=0)), None
    after = vit(tiny(**AVERAGE, num_classes=0, norm_after_pool=True))
    randomize(before)
    after.set_weights(before.get_weights())
    x = images
    for layer in before.layers[1:]:
        if layer.name == "encoder_norm":
            break
        x = layer(x)
    x = to_numpy(x)
    norm = before.get_layer("encoder_norm")

    def normed(t):
        centred = t - t.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * to_numpy(norm.gamma) + to_numpy(norm.beta)

    # One normalisation and one mean in float32.
    np.testing.assert_allclose(to_numpy(before(images)), normed(x).mean(1), atol=1e-5)
    np.testing.assert_allclose(to_numpy(after(images)), normed(x.mean(1)), atol=1e-5)


def test_distillation_logits_are_the_mean_of_both_heads():
    model = vit(tiny(distillation_token=True))
    randomize(model)
    images = np.random.default_rng(0).normal(100, 50, (2, 16, 24, 3)).astype("float32")
    heads = keras.Model(
        model.input,
        [model.get_layer("head").output, model.get_layer("distillation_head").output],
    )
    first, second = map(to_numpy, heads(images))
    assert not np.allclose(first, second)
    np.testing.assert_allclose(to_numpy(model(images)), (first + second) / 2, atol=1e-6)


def test_the_head_starts_from_zero_and_its_bias_from_the_config():
    model = vit(tiny(head_bias=-6.9))
    assert (to_numpy(model.get_layer("head").kernel) == 0).all()
    np.testing.assert_allclose(to_numpy(model.get_layer("head").bias), -6.9, rtol=1e-6)


def test_logits_are_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = vit(tiny())
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("block_00").compute_dtype == "bfloat16"
    assert model.get_layer("rescaling").compute_dtype == "float32"
    assert keras.backend.standardize_dtype(model(np.zeros((1, 16, 24, 3))).dtype) == "float32"


def test_stochastic_depth_grows_linearly():
    model = vit(tiny(depth=3, stochastic_depth=0.2))
    assert [b.stochastic_depth for b in model.layers if b.name.startswith("block_")] == [
        0.0,
        pytest.approx(0.1),
        pytest.approx(0.2),
    ]


def test_a_foreign_model_has_no_config():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match=r"keras_vit\.vit"):
        config_of(keras.Model(inputs, keras.layers.Dense(2)(inputs)))


def test_configurations_are_values():
    config = tiny()
    assert dataclasses.replace(config) == config
    assert hash(dataclasses.replace(config)) == hash(config)
