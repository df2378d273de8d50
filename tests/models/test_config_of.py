# SPDX-License-Identifier: MIT
"""A `ViT` says what it is, and does not lie after its graph was changed."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViT, config_of, vit
from keras_vit.models.keras_file import load_keras
from tests.contracts import randomize, slow_but, to_numpy
from tests.models.test_vit import tiny

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 24, 3)).astype("float32")


def headed(model, *layers):
    """A `ViT` with other layers after the pool."""
    x = model.get_layer("pool").output
    for layer in layers:
        x = layer(x)
    return ViT(model.input, x)


def own_head(**options):
    return keras.layers.Dense(7, name="head", **options)


def test_the_file_says_what_it_is(tmp_path):
    """Whoever reads the file needs no Keras for it."""
    config = tiny(resnet_stages=(1, 1), resnet_width=32, patch_size=1)
    for model in (vit(config), keras.models.clone_model(vit(config))):
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as file:
            written = json.loads(file.read("config.json"))
        assert written["registered_name"] == "keras_vit>ViT"
        assert type(config).from_dict(written["config"]["config"]) == config


def test_patch_dropout_is_saved_with_the_layers(tmp_path):
    model = vit(tiny(), patch_dropout=0.5)
    model.save(tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    assert loaded.get_layer("patch_dropout").rate == 0.5
    assert config_of(loaded) == tiny()


def test_a_head_of_ones_own(tmp_path):
    base = vit(tiny())
    randomize(base)
    model = headed(base, own_head(use_bias=False))
    assert config_of(model) == dataclasses.replace(tiny(), num_classes=7, head_bias=None)
    assert config_of(headed(base)) == tiny(num_classes=0)
    model.save(tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    assert config_of(loaded) == config_of(model)
    np.testing.assert_array_equal(to_numpy(loaded(IMAGES)), to_numpy(model(IMAGES)))
    again = vit(config_of(model))  # what exports and checkpoints are made of
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(to_numpy(again(IMAGES)), to_numpy(model(IMAGES)))


def swap(name, **changes):
    """A `clone_function` that changes the arguments of one layer."""

    def clone(layer):
        changed = changes if layer.name == name else {}
        return type(layer).from_config({**layer.get_config(), **changed})

    return clone


CHANGES = {
    "another layer": (
        lambda model: headed(model, keras.layers.Dropout(0.1, name="mine"), own_head()),
        "mine is none of its layers",
    ),
    "another activation": (
        lambda model: headed(model, own_head(activation="relu")),
        "head has activation=relu, expected linear",
    ),
    "another class": (
        lambda model: headed(model, keras.layers.EinsumDense("bd,dc->bc", 7, name="head")),
        r"built by keras_vit\.vit, .* without its layers head",
    ),
    "a block unlike the first": (
        lambda model: keras.models.clone_model(
            model, clone_function=swap("block_01", activation="gelu_tanh")
        ),
        "block_01 has activation=gelu_tanh, expected gelu",
    ),
    "no blocks": (
        lambda model: ViT(model.input, model.get_layer("patch_encoder").output),
        "without its layers block_00, pool",
    ),
    "other wires": (
        lambda model: with_parallel_blocks(model),
        "block_01 reads patch_encoder, expected block_00",
    ),
    "dropout at inference": (
        lambda model: keras.models.clone_model(model, call_function=always_training),
        "block_00 reads patch_encoder and a flag, expected patch_encoder",
    ),
    "two outputs": (
        lambda model: ViT(model.input, [model.output, model.get_layer("pool").output]),
        "the output reads head and pool, expected head",
    ),
}


def with_parallel_blocks(model):
    """The same layers, but both blocks read the tokens and what they write is added."""
    new = {
        layer.name: type(layer).from_config(layer.get_config())
        for layer in model.layers
        if layer.name in ("block_00", "block_01", "encoder_norm", "pool", "head")
    }
    x = model.get_layer("patch_encoder").output
    x = keras.ops.add(new["block_00"](x), new["block_01"](x))
    return ViT(model.input, new["head"](new["pool"](new["encoder_norm"](x))))


def always_training(layer, *args, **kwargs):
    training = {"training": True} if layer.name.startswith("block_") else {}
    return layer(*args, **{**kwargs, **training})


@pytest.mark.parametrize("name", slow_but(list(CHANGES)[::2], CHANGES))
def test_a_changed_graph_is_told(name, tmp_path):
    change, message = CHANGES[name]
    model = change(vit(tiny()))
    with pytest.raises(UserError, match=message):
        config_of(model)
    # It is a model of Keras like any other.
    outputs = model(IMAGES)
    model.save(tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    assert type(loaded) is ViT
    if not isinstance(outputs, list) and "dropout" not in name:
        np.testing.assert_array_equal(to_numpy(loaded(IMAGES)), to_numpy(outputs))
    with pytest.raises(UserError, match=message):
        config_of(loaded)


def test_an_input_in_a_list_is_told():
    model = vit(tiny())
    listed = ViT([model.input], model.output)
    with pytest.raises(UserError, match="the pixels as its only input, received a list of 1"):
        config_of(listed)


def test_a_clone_with_another_option_says_so():
    model = vit(tiny())
    clone = keras.models.clone_model(model, clone_function=swap("patch_encoder", position="none"))
    assert config_of(clone) == tiny(position="none")


def test_a_configuration_that_contradicts_the_layers(tmp_path):
    model = vit(tiny())
    with pytest.raises(UserError, match="block_00 has activation=gelu, expected gelu_tanh"):
        ViT(model.input, model.output, config=tiny(activation="gelu_tanh"))
    with pytest.raises(UserError, match=r"it reads \(16, 24, 3\), expected \(16, 16, 3\)"):
        ViT(model.input, model.output, config=tiny(image_size=16))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as old:
        contents = {name: old.read(name) for name in old.namelist()}
    values = json.loads(contents["config.json"])
    values["config"]["config"]["norm_epsilon"] = 1e-5
    contents["config.json"] = json.dumps(values)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as new:
        for name, text in contents.items():
            new.writestr(name, text)
    with pytest.raises(UserError, match=r"other\.keras: .* expected 1e-05"):
        load_keras(tmp_path / "other.keras")


def test_parts_and_other_models_have_no_configuration():
    model = vit(tiny())
    part = keras.Model(model.input, model.get_layer("block_01").output)
    assert part(IMAGES).shape == (2, 25, 16)
    for other in (part, keras.Model(model.input, model.output), keras.Sequential([own_head()])):
        with pytest.raises(UserError, match=r"built by keras_vit\.vit, received"):
            config_of(other)
