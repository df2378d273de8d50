# SPDX-License-Identifier: MIT
"""A `config.json` of another family next to a file is compared with its tensors, and never read."""

import json
import logging
import shutil

import pytest

import keras_vit
from keras_vit import UserError
from keras_vit.config import ViTConfig
from keras_vit.weights import open_source, save

TINY = ViTConfig(image_size=16, patch_size=8, width=16, depth=2, mlp_dim=24, num_heads=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One model in the names of timm and of transformers, each with its config.json."""
    path = tmp_path_factory.mktemp("models")
    model = keras_vit.vit(TINY)
    for dialect in ("timm", "hf"):
        save(model, path / dialect, dialect)
    return path


def beside(folders, tmp_path, **changes):
    """timm's tensors with the config.json of transformers, changed."""
    shutil.copy(folders / "timm" / "model.safetensors", tmp_path)
    config = json.loads((folders / "hf" / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_of_the_same_model_it_is_said(folders, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        source = open_source(beside(folders, tmp_path))
    assert source.config == TINY
    assert "names of timm; the config.json next to it is of " in caplog.text.replace("them", "it")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("hidden_size", 32, "width=16, but the config.json next to them, of .*, says 32"),
        ("num_hidden_layers", 12, "depth=2"),
        ("intermediate_size", 64, "mlp_dim=24"),
        ("num_attention_heads", 4, "num_heads=2"),
        ("hidden_act", "gelu_new", "activation='gelu'"),
    ],
)
def test_of_another_model_it_is_refused(folders, tmp_path, field, value, words):
    with pytest.raises(UserError, match=f"names of timm, have {words}"):
        open_source(beside(folders, tmp_path, **{field: value}))


def test_what_the_caller_says_is_not_compared(folders, tmp_path):
    path = beside(folders, tmp_path, hidden_act="gelu_new")
    assert open_source(path, activation="gelu").config == TINY


def test_transformers_tensors_next_to_the_name_of_an_architecture(folders, tmp_path):
    shutil.copy(folders / "hf" / "model.safetensors", tmp_path)
    told = {"architecture": "vit_base_patch16_224"}
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(
        UserError, match=r"width=16, but the config\.json next to them, of timm, says"
    ):
        open_source(tmp_path)


def test_two_families_of_one_library(folders, tmp_path):
    shutil.copy(folders / "hf" / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip_vision_model"}))
    with pytest.raises(UserError, match=r"is of .*clip, of the same library\. One of them"):
        open_source(tmp_path)
