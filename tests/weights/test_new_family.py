# SPDX-License-Identifier: MIT
"""A family of checkpoints is one file, `toy_family.py`, and one call of `register`."""

import argparse
import dataclasses
import json

import numpy as np
import pytest

import keras_vit
from apps import convert as convert_app
from apps import parity as parity_app
from keras_vit import UserError, ViTConfig, config_of, vit
from keras_vit.weights import (
    certify,
    convert,
    inspect,
    load_model,
    open_source,
    register,
    registry,
    save,
    unregister,
)
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from tests.contracts import randomize, to_numpy
from tests.weights.toy_family import Toy

CONFIG = ViTConfig(
    image_size=(12, 12),
    num_classes=5,
    patch_size=4,
    width=16,
    depth=2,
    mlp_dim=24,
    num_heads=2,
    class_token=False,
    pool="average",
)
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 12, 12, 3)).astype(np.float32)


@pytest.fixture
def known():
    adapter = Toy()
    register(adapter)
    yield adapter
    unregister(adapter)


@pytest.fixture
def model():
    made = vit(CONFIG)
    randomize(made)
    return made


@pytest.fixture
def folder(known, model, tmp_path):
    save(model, tmp_path / "toy", "toy")
    return tmp_path / "toy"


def logits(model):
    return to_numpy(model(PIXELS, training=False))


def test_save_and_load(folder, model):
    names = set(open_checkpoint(folder))
    assert {"stem.weight", "layer1.kv.bias", "layer2.up.weight", "classes.bias"} <= names
    assert json.loads((folder / "config.json").read_text())["heads"] == 2
    for load in (load_model, keras_vit.load_model):
        back = load(folder)
        assert config_of(back) == CONFIG
        np.testing.assert_array_equal(logits(back), logits(model))


def test_another_size_and_another_head(folder):
    other = load_model(folder, image_size=24, num_classes=3)
    assert config_of(other).grid == (6, 6)
    assert other.output_shape == (None, 3)


def test_a_prefix_and_a_tensor_too_much(folder, tmp_path):
    tensors = open_checkpoint(folder)
    made = [(f"net.{name}", tensors[name].shape, lambda n=name: tensors[n]) for name in tensors]
    made.append(("net.layer1.extra", (1,), lambda: np.ones(1)))
    path = tmp_path / "bare.safetensors"
    write_safetensors(path, made, {})
    with pytest.raises(UserError, match="nothing tells the number of attention heads, the form of"):
        open_source(path)
    source = open_source(path, num_heads=2, activation="gelu")
    assert (source.adapter.name, source.prefix, source.config) == ("toy", "net.", CONFIG)
    with pytest.raises(UserError, match=r"1 tensors are left over:\n    layer1.extra"):
        source.check()


def test_inspect(folder):
    found = inspect(folder)
    assert (found.dialect, found.config) == ("toy", CONFIG)
    assert "no class token" in found.remarks


def test_convert_in_both_directions(folder, model, tmp_path):
    convert(folder, tmp_path / "timm", "timm")
    convert(tmp_path / "timm", tmp_path / "again", "toy")
    before, after = open_checkpoint(folder), open_checkpoint(tmp_path / "again")
    assert set(before) == set(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with pytest.raises(UserError, match="the toy dialect cannot express a class token"):
        save(vit(ViTConfig.of("mu/4", image_size=12)), tmp_path / "x", "toy")


def test_parity_with_its_own_code(folder, model, tmp_path):
    found = certify(folder, reference="toy")
    assert found.passed
    assert [row.layer for row in found.rows] == ["patch_encoder", "block_00", "block_01", "logits"]
    assert found.versions["toy"] == "1.0"
    model.save(tmp_path / "x.keras")  # which is written in its names first
    assert certify(tmp_path / "x.keras", reference="toy").passed
    with pytest.raises(UserError, match="Use --reference toy"):
        certify(folder, reference="timm")


def test_parity_shows_a_mistake(folder, known, monkeypatch):
    """Keys are taken for values: a file loads with that, since their shapes are equal."""
    swapped = tuple(dataclasses.replace(r, ours=r.ours[::-1]) for r in known.dialects["toy"])
    monkeypatch.setattr(known, "dialects", {"toy": swapped})
    found = certify(folder, reference="toy")
    assert [row.passed for row in found.rows] == [True, False, False, False]


def test_the_command_line_offers_it(known):
    parser = argparse.ArgumentParser()
    convert_app.add_flags(parser)
    assert parser.parse_args(["a", "b", "--to", "toy"]).to == "toy"
    parser = argparse.ArgumentParser()
    parity_app.add_flags(parser)
    assert parser.parse_args(["a", "--reference", "toy"]).reference == "toy"


def test_a_dialect_is_registered_once_and_can_be_taken_back(folder, known):
    with pytest.raises(UserError, match="'toy' is known already"):
        register(Toy())
    unregister(known)
    try:
        assert "toy" not in registry.dialects()
        with pytest.raises(UserError, match="model_type 'toy' has what is not known here"):
            load_model(folder)
    finally:
        register(known)
