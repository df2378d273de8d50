# SPDX-License-Identifier: MIT
"""What a user of Keras does with a functional model, done with ours; logits agree to the bit."""

import copy
import itertools
import os
import pickle

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.errors import UserError
from keras_vit.layers import PatchEncoder, TransformerBlock
from keras_vit.layers.composite import quantized_parts
from keras_vit.models import MaskedAutoencoder, config_of, vit
from tests.contracts import randomize, slow_but, to_numpy

IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")
BASE = {"image_size": 16, "patch_size": 8, "width": 32, "depth": 1, "num_heads": 2, "mlp_dim": 64}
OPTIONS = {
    "token": {},
    "map": {"pool": "map", "class_token": False},
    "distilled": {"distillation_token": True, "register_tokens": 2},
    "normed": {"depth": 2, "qk_norm": True, "layer_scale": 0.1, "stochastic_depth": 0.1},
    "tanh layer": {"representation_size": 16},
}
TOGETHER = {
    "distilled and normed": {**OPTIONS["distilled"], **OPTIONS["normed"]},
    "map and tanh layer": {**OPTIONS["map"], **OPTIONS["tanh layer"]},
}
ALONE, OPTIONS = OPTIONS, {**OPTIONS, **TOGETHER}
MODES = {
    "int8": {"mode": "int8"},
    "int4": {"mode": "int4"},
    "float8": {"mode": "float8"},
    "blocks of 8": {"config": lambda: keras.quantizers.Int4QuantizationConfig(block_size=8)},
    "no blocks": {"config": lambda: keras.quantizers.Int4QuantizationConfig(block_size=None)},
    "weights alone": {
        "config": lambda: keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    },
    "fewer levels": {
        "config": lambda: keras.quantizers.Int8QuantizationConfig(
            activation_quantizer=keras.quantizers.AbsMaxQuantizer(axis=-1, value_range=(-15, 15))
        )
    },
    "one block": {"mode": "int8", "filters": lambda layer: "block_01" in (layer.path or "")},
}
# Keras says for each layer without a matrix that it has none to quantise.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")


def make(option="token", seed=0, **changes):
    options = {**BASE, **OPTIONS[option], **changes}
    model = vit(keras_vit.ViTConfig.of("Ti/16", num_classes=5, **options))
    randomize(model, seed)
    return model


def quantize(model, name):
    arguments = MODES[name]
    if "config" in arguments:
        arguments = {"config": arguments["config"]()}
    model.quantize(**arguments)
    return model


def adapt(model):
    """Gives every matrix a LoRA adapter that does something."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense):
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(keras.random.normal(layer.lora_kernel_b.shape, seed=0))
    return model


def logits(model):
    return to_numpy(model(IMAGES))


def reloaded(model, tmp_path, name="model.keras"):
    model.save(tmp_path / name)
    return keras.saving.load_model(tmp_path / name, safe_mode=True)


def assert_same(one, other):
    np.testing.assert_array_equal(logits(one), logits(other))


OFTEN = ("one block",)  # the other modes take as long and are rarer


@pytest.mark.parametrize("mode", slow_but(OFTEN, MODES))
def test_quantized_files_are_read_back(mode, tmp_path):
    model = make(depth=2 if mode == "one block" else 1)
    before = logits(model)
    quantize(model, mode)
    # Six matrices in a block, and the projection and the head.
    assert len(quantized_parts(model)) == (6 if mode == "one block" else 6 + 2)
    assert not np.array_equal(logits(model), before)
    loaded = reloaded(model, tmp_path)
    assert_same(model, loaded)
    assert_same(model, reloaded(loaded, tmp_path, "again.keras"))
    assert config_of(loaded) == config_of(model)


@pytest.mark.parametrize("option", slow_but(["distilled and normed"], OPTIONS))
def test_every_option_is_read_back_quantized(option, tmp_path):
    model = quantize(make(option), "int8")
    assert_same(model, reloaded(model, tmp_path))


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.slow
def test_quantized_models_are_copied(mode, tmp_path):
    model = quantize(make(), mode)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same(model, clone)
    assert_same(model, copy.deepcopy(model))
    assert_same(model, pickle.loads(pickle.dumps(model)))
    model.save_weights(tmp_path / "m.weights.h5")
    clone = keras.models.model_from_json(model.to_json())
    clone.load_weights(tmp_path / "m.weights.h5")
    assert_same(model, clone)


def test_quantized_in_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = quantize(make(), "int8")
        expected = logits(model)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(logits(reloaded(model, tmp_path)), expected)


def test_a_quantized_block_may_be_renamed_and_moved():
    inputs = keras.Input((4, 32))
    block = TransformerBlock(2, 64, name="block")
    model = keras.Model(inputs, block(inputs))
    model.quantize("int8")
    config = {**block.get_config(), "name": "elsewhere"}
    assert set(config["quantized"]) == {
        *(f"attention/{part}" for part in ("query", "key", "value", "attention_output")),
        *("mlp/hidden", "mlp/output_projection"),
    }
    other = TransformerBlock.from_config(config)
    with keras.name_scope("inside"):
        other(np.zeros((1, 4, 32)))
    assert other.get_config() == config
    config["quantized"] = {"no/such/part": config["quantized"]["mlp/hidden"]}
    with pytest.raises(UserError, match="has no part 'no/such/part'"):
        TransformerBlock.from_config(config).build((None, 4, 32))


def test_layers_that_are_not_quantized_say_nothing_of_it():
    assert "quantized" not in make().get_layer("block_00").get_config()
    assert "quantized" not in PatchEncoder(32, (2, 2)).get_config()


@pytest.mark.slow
def test_a_quantized_autoencoder(tmp_path):
    encoder = vit(keras_vit.ViTConfig.of("Ti/16", num_classes=0, **BASE))
    sizes = {"decoder_width": 32, "decoder_depth": 1, "decoder_num_heads": 2}
    model = MaskedAutoencoder(encoder, mask=0.5, **sizes)
    randomize(model.encoder)
    model.quantize("int8")
    loaded = reloaded(model, tmp_path)
    for name, value in model(IMAGES).items():
        np.testing.assert_array_equal(to_numpy(value), to_numpy(loaded(IMAGES)[name]))


def test_what_was_not_calibrated_is_not_saved(tmp_path):
    """Keras refuses these modes for images after it has changed the layers."""
    model = make()
    config = keras.quantizers.GPTQConfig(dataset=["a"], tokenizer=lambda text: text)
    with pytest.raises(ValueError, match="quantization structure"):
        model.quantize(config=config)
    with pytest.raises(UserError, match=r"projection: gptq has not been calibrated"):
        model.save(tmp_path / "model.keras")


def test_what_needs_the_plain_matrices_refuses_quantized_ones(tmp_path):
    from keras_vit.export.folding import fold

    model = quantize(make(), "int8")
    with pytest.raises(UserError, match="received int8 in 8 layers"):
        fold(model)
    with pytest.raises(UserError, match="received int8 in 8 layers"):
        keras_vit.weights.save(model, tmp_path / "model.safetensors", dialect="timm")
    model.save(tmp_path / "model.keras")
    with pytest.raises(UserError, match="received int8 in 8 layers"):
        keras_vit.weights.load_model(tmp_path / "model.keras", image_size=32)


def test_lora(tmp_path):
    from keras_vit.export.folding import fold

    model = adapt(make())
    assert not np.array_equal(logits(model), logits(make()))
    loaded = reloaded(model, tmp_path)  # Keras merges the adapters into the kernels
    assert_same(model, loaded)
    assert config_of(loaded) == config_of(model)
    ours, theirs = fold(model).weights, fold(loaded).weights
    for name, array in ours.items():
        # Both sum a kernel and its adapter in float32, in another order.
        np.testing.assert_allclose(array, theirs[name], atol=1e-5, rtol=1e-5)
    for name, one in (("ours", model), ("theirs", loaded)):
        keras_vit.weights.save(one, tmp_path / f"{name}.safetensors", dialect="timm")
    ours, theirs = (
        keras_vit.load_model(tmp_path / f"{name}.safetensors", num_heads=2)
        for name in ("ours", "theirs")
    )
    np.testing.assert_allclose(logits(ours), logits(theirs), atol=1e-4, rtol=1e-4)  # as above


@pytest.mark.parametrize("option", slow_but(["distilled"], ALONE))
def test_copies(option, tmp_path):
    model = make(option)
    assert_same(model, copy.deepcopy(model))
    assert_same(model, pickle.loads(pickle.dumps(model)))
    assert_same(model, reloaded(model, tmp_path))
    model.save_weights(tmp_path / "m.weights.h5")
    for again in (
        keras.models.clone_model(model),
        keras.models.model_from_json(model.to_json()),
        type(model).from_config(model.get_config()),
    ):
        again.load_weights(tmp_path / "m.weights.h5")
        assert_same(model, again)
        assert config_of(again) == config_of(model)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_the_old_file_format(tmp_path):
    """It has room for the name of a class alone: who reads it says whose `ViT` it is."""
    model = make()
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5", custom_objects={"ViT": keras_vit.ViT})
    assert_same(model, loaded)
    assert config_of(loaded) == config_of(model)


POLICIES = ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"]
if keras.backend.backend() == "tensorflow":
    POLICIES.append("float64")  # JAX computes it in float32 unless its own setting says otherwise


@pytest.mark.parametrize("policy", POLICIES)
def test_precision(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = make()
        expected = logits(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert expected.dtype == "float32"
    np.testing.assert_array_equal(logits(reloaded(model, tmp_path)), expected)


def test_sub_models_and_summary(capsys):
    model = make()
    tokens = keras.Model(model.input, model.get_layer("block_00").output)
    assert tokens(IMAGES).shape == (3, 5, 32)
    model.summary(expand_nested=True, show_trainable=True)
    assert "block_00" in capsys.readouterr().out


def test_freezing(tmp_path):
    model = make()
    for layer in model.layers[:-1]:
        layer.trainable = False
    before = {variable.path: to_numpy(variable) for variable in model.variables}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)  # to trace takes a second
    model.train_on_batch(IMAGES, np.zeros(3))
    moved = {
        variable.path
        for variable in model.variables
        if not np.array_equal(before[variable.path], to_numpy(variable))
    }
    assert moved == {"head/kernel", "head/bias"}
    # `keras.saving.load_model` reads that a layer is frozen, and trains its variables all the same.
    model.save(tmp_path / "model.keras")
    loaded = keras_vit.load_model(tmp_path / "model.keras")
    assert {variable.path for variable in loaded.trainable_variables} == moved


def test_distillation_of_keras():
    losses = keras.distillation.LogitsDistillation()
    distiller = keras.distillation.Distiller(make(), make(seed=1), losses)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("adam", loss, run_eagerly=True)
    assert np.isfinite(distiller.train_on_batch(IMAGES, np.zeros(3, int))).all()


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports are for TensorFlow")
@pytest.mark.parametrize(
    ("changed", "format"),
    [
        *itertools.product(["plain", "lora"], ["tf_saved_model", "litert"]),
        # TensorFlow's converter refuses Keras' int8 product of rank 3, also of one Dense layer.
        ("int8", "tf_saved_model"),
    ],
)
def test_export_of_keras(changed, format, tmp_path):
    model = make()
    if changed == "int8":
        quantize(model, "int8")
    elif changed == "lora":
        adapt(model)
    path = tmp_path / ("model.tflite" if format == "litert" else "saved")
    model.export(path, format=format, verbose=False)
    run = keras_vit.export.open_runner(path)
    # float32 sums in another order; int8 rounds what lies between two levels to either of them.
    tolerance = 0.05 if changed == "int8" else 1e-4
    np.testing.assert_allclose(run(IMAGES[:1]), logits(model)[:1], atol=tolerance, rtol=1e-4)


@pytest.mark.slow
def test_xla():
    model = make()
    expected = logits(model)
    model.compile("sgd", "mse", jit_compile=True)
    # XLA fuses and reorders float32 sums.
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_plot(tmp_path):
    pytest.importorskip("pydot", reason="the package pydot is not installed")
    if os.system("dot -V 2> /dev/null"):
        pytest.skip("the program dot is not installed")
    keras.utils.plot_model(make(), tmp_path / "model.png", expand_nested=True)
    assert (tmp_path / "model.png").exists()
