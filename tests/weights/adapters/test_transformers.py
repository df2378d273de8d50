# SPDX-License-Identifier: MIT
"""Configurations of transformers: what they tell, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights import open_source
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from tests.weights.fixtures import HF, folder_of


def test_statistics_and_form_of_a_hugging_face_folder(tmp_path):
    shutil.copytree(HF, tmp_path / "x")
    preprocessor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "x" / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    config = open_source(tmp_path / "x").config
    assert (config.pixel_mean, config.pixel_std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (config.norm_epsilon, config.num_heads) == (1e-12, 2)
    assert open_source(tmp_path / "x", pixel_mean=0.5).config.pixel_mean == (0.5,)
    settings = json.loads((tmp_path / "x" / "config.json").read_text())
    for wrong, said in (
        ({"hidden_act": "selu"}, "hidden_act is 'selu'"),
        ({"hidden_size": 32}, "belongs to another model"),
        ({"num_attention_heads": "two"}, "num_heads"),
        ({"num_attention_heads": 5}, "divisor of width"),
    ):
        (tmp_path / "x" / "config.json").write_text(json.dumps(settings | wrong))
        with pytest.raises(UserError, match=said):
            open_source(tmp_path / "x")


@pytest.mark.parametrize(
    ("kind", "feature"),
    [
        ("internvl_vision", "norms of queries and keys"),
        ("llama", "not known"),
    ],
)
def test_a_model_of_transformers_is_refused_before_its_names_are(tmp_path, kind, feature):
    write_safetensors(tmp_path / "model.safetensors", [("x", (1,), lambda: np.ones(1))], {})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    with pytest.raises(UserError, match=feature):
        open_source(tmp_path)


def test_the_activation_of_a_pooler_is_not_guessed(tmp_path):
    weights = open_checkpoint(HF / "model.safetensors")
    arrays = {n.removeprefix("vit."): weights[n] for n in weights if "classifier" not in n}
    width = arrays["embeddings.cls_token"].shape[-1]
    arrays |= {"pooler.dense.weight": np.ones((width, width), np.float32)}
    arrays |= {"pooler.dense.bias": np.ones(width, np.float32)}
    path = tmp_path / "model.safetensors"
    write_safetensors(path, [(n, a.shape, lambda a=a: a) for n, a in arrays.items()], {})
    known = {"num_heads": 2, "activation": "gelu", "norm_epsilon": 1e-12}
    with pytest.raises(UserError, match="activation of its pooler"):
        open_source(path, **known)
    assert open_source(path, skip="pooler.*", **known).config.representation_size == 0


def test_a_file_of_transformers_without_its_configuration_is_asked_about(tmp_path):
    shutil.copy(HF / "model.safetensors", tmp_path)
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match=r"config.json .*num_heads=, activation=, norm_epsilon="):
        open_source(path)
    known = {"num_heads": 2, "activation": "gelu", "norm_epsilon": 1e-12}
    assert open_source(path, **known).config == open_source(HF).config


@pytest.mark.parametrize("kind", ["vit_mae", "vit_msn"])
def test_other_model_types_with_the_same_tensors_are_read_with_their_configuration(tmp_path, kind):
    config = json.loads((HF / "config.json").read_text())
    del config["layer_norm_eps"]
    path = folder_of(tmp_path / "x", config | {"model_type": kind}, HF / "model.safetensors")
    found = open_source(path).config
    assert (found.num_heads, found.norm_epsilon) == (2, {"vit_mae": 1e-12, "vit_msn": 1e-6}[kind])
