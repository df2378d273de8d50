# SPDX-License-Identifier: MIT
"""A config.json tells about its own model alone, and is not believed blindly."""

import json
import shutil

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights import open_source
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from tests.weights.fixtures import FOLDER

FLAX, TIMM, HF = FOLDER / "vit_jax_token.npz", FOLDER / "timm_token.safetensors", FOLDER / "hf_vit"
TIMM_CONFIG = {"architecture": "vit_base_patch16_224", "model_args": {"num_heads": 2}}
HF_CONFIG = json.loads((HF / "config.json").read_text(encoding="utf-8"))


def folder(path, config, weights=TIMM, prefix=""):
    checkpoint = open_checkpoint(weights)
    makers = [(prefix + n, checkpoint[n].shape, lambda n=n: checkpoint[n]) for n in checkpoint]
    write_safetensors(path / "model.safetensors", makers, {})
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("config", [TIMM_CONFIG, HF_CONFIG, {"model_type": "dinov3_vit"}])
def test_an_npz_is_not_described_by_the_json_of_a_neighbour(tmp_path, config):
    shutil.copy(FLAX, tmp_path / "a.npz")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert open_source(tmp_path / "a.npz").config == open_source(FLAX).config


@pytest.mark.parametrize(
    ("config", "weights"), [(HF_CONFIG, TIMM), (TIMM_CONFIG, HF / "model.safetensors")]
)
def test_a_config_of_another_home_tells_nothing(tmp_path, config, weights):
    with pytest.raises(UserError, match=r"nothing .*tells the number of attention heads"):
        open_source(folder(tmp_path, config, weights))


@pytest.mark.parametrize(
    ("kind", "feature"),
    [
        ("dinov3_vit", "rotary positions"),
        ("clip_vision_model", "a norm before the encoder"),
        ("siglip2", "NaFlex"),
        ("llama", "not known"),
    ],
)
def test_a_model_of_transformers_is_refused_before_its_names_are(tmp_path, kind, feature):
    write_safetensors(tmp_path / "model.safetensors", [("x", (1,), lambda: np.ones(1))], {})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    with pytest.raises(UserError, match=feature):
        open_source(tmp_path)


def test_tokens_without_a_pool_are_no_class_token(tmp_path):
    for config in ({"global_pool": ""}, {"model_args": {"num_heads": 2, "global_pool": ""}}):
        with pytest.raises(UserError, match="global_pool is ''"):
            open_source(folder(tmp_path, {**TIMM_CONFIG, **config}))


def test_the_activation_of_a_pooler_is_not_guessed(tmp_path):
    weights = open_checkpoint(HF / "model.safetensors")
    arrays = {n.removeprefix("vit."): weights[n] for n in weights if "classifier" not in n}
    width = arrays["embeddings.cls_token"].shape[-1]
    arrays |= {"pooler.dense.weight": np.ones((width, width), np.float32)}
    arrays |= {"pooler.dense.bias": np.ones(width, np.float32)}
    path = tmp_path / "model.safetensors"
    write_safetensors(path, [(n, a.shape, lambda a=a: a) for n, a in arrays.items()], {})
    known = {"num_heads": 2, "gelu": "exact", "norm_epsilon": 1e-12}
    with pytest.raises(UserError, match="activation of its pooler"):
        open_source(path, **known)
    assert open_source(path, skip="pooler.*", **known).config.representation_size == 0


def test_a_model_of_timm_that_transformers_saved(tmp_path):
    config = {"model_type": "timm_wrapper", **TIMM_CONFIG}
    assert open_source(folder(tmp_path, config, prefix="timm_model.")).config.num_heads == 2


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        ({**TIMM_CONFIG, "pretrained_cfg": {"input_size": 3.5}}, TIMM),
        ({**TIMM_CONFIG, "pretrained_cfg": {"input_size": [3, "a", 5]}}, TIMM),
        ({**TIMM_CONFIG, "model_args": {"num_heads": 2, "img_size": "big"}}, TIMM),
        ({**TIMM_CONFIG, "model_args": {"num_heads": 2, "act_layer": ["gelu"]}}, TIMM),
        ({**HF_CONFIG, "hidden_act": ["gelu"]}, HF / "model.safetensors"),
        ({**HF_CONFIG, "image_size": "x"}, HF / "model.safetensors"),
        ({**HF_CONFIG, "image_size": [[16, 16]]}, HF / "model.safetensors"),
    ],
)
def test_values_of_other_types_are_refused(tmp_path, config, weights):
    with pytest.raises(UserError, match=r"config\.json: "):
        open_source(folder(tmp_path, config, weights))


def test_a_name_of_timm_is_for_files_of_timm():
    with pytest.raises(UserError, match="architecture= is the name of a model of timm"):
        open_source(HF, architecture="vit_base_patch16_224")
