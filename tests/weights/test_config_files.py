# SPDX-License-Identifier: MIT
"""A config.json tells about its own model alone, and is not believed blindly."""

import json
import shutil

import pytest

from keras_vit import UserError
from keras_vit.weights import inspect, open_source
from keras_vit.weights.adapters.timm import Timm
from keras_vit.weights.config_files import header_facts, preprocessor_facts, read_json
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from tests.weights.fixtures import (
    FLAX,
    HF,
    TIMM,
    folder_of,
)

TIMM_CONFIG = {"architecture": "vit_base_patch16_224", "model_args": {"num_heads": 2}}
HF_CONFIG = json.loads((HF / "config.json").read_text(encoding="utf-8"))


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
        open_source(folder_of(tmp_path, config, weights))


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
        open_source(folder_of(tmp_path, config, weights))


def test_a_name_of_timm_is_for_files_of_timm():
    with pytest.raises(UserError, match="architecture= is the name of a model of timm"):
        open_source(HF, architecture="vit_base_patch16_224")


ODD = (None, True, -1, 1.5, 10**30, "x", [], [[1]], ["a"], {}, {"a": 1})


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("config.json", field) for field in ("hidden_act", "image_size", "model_type")),
        *(("config.json", field) for field in ("pooler_act", "num_attention_heads")),
        *(("preprocessor_config.json", field) for field in ("rescale_factor", "do_rescale")),
        *(("preprocessor_config.json", field) for field in ("image_mean", "image_std")),
    ],
)
def test_a_field_of_another_type(tmp_path, name, field):
    shutil.copytree(HF, tmp_path, dirs_exist_ok=True)
    file = tmp_path / name
    sound = read_json(file)
    refused = 0
    for odd in ODD:
        file.write_text(json.dumps({**sound, field: odd}))
        try:
            refused += inspect(tmp_path).config is None
        except UserError:
            refused += 1
    assert refused > len(ODD) / 3


def test_statistics_that_transformers_saved_with_those_of_texts_come_first(tmp_path):
    config = tmp_path / "config.json"
    usual = {"mean": (0.1, 0.2, 0.3), "std": (0.5,) * 3}
    assert preprocessor_facts(config, **usual) == {}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_std": [0.2, 0.2, 0.2]}))
    assert preprocessor_facts(config, **usual) == {
        "pixel_mean": [0.1, 0.2, 0.3],
        "pixel_std": [0.2, 0.2, 0.2],
    }
    both = {"image_processor": {"image_mean": [0.4], "do_normalize": True}, "tokenizer": {}}
    (tmp_path / "processor_config.json").write_text(json.dumps(both))
    assert preprocessor_facts(config)["pixel_mean"] == [0.4]
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": []}))
    with pytest.raises(UserError, match="image_processor"):
        preprocessor_facts(config)


@pytest.mark.parametrize(
    "values",
    [
        {"architecture": 5},
        {"architecture": "vit", "model_args": "x"},
        {"architecture": "vit", "model_args": {"act_layer": []}},
        {"architecture": "vit", "pretrained_cfg": {"input_size": 3}},
    ],
)
def test_a_config_of_timm_of_other_types(tmp_path, values):
    with pytest.raises(UserError, match=r"config\.json: .*expected"):
        Timm().facts(values, tmp_path / "config.json", None)


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "[" * 10_000, '{"num_heads": 1e400}', '{"pool": []}']
    + [f'{{"image_size": {size}}}' for size in ("[]", '"x"', '{"a": 1}', "[1000000000, 16]")],
)
def test_our_own_header_of_other_types(tmp_path, text):
    path = tmp_path / "x.safetensors"
    tensors = open_checkpoint(TIMM)
    made = [
        (name, spec.shape, lambda name=name: tensors[name]) for name, spec in tensors.specs.items()
    ]
    write_safetensors(path, made, {"keras_vit": text})
    with pytest.raises(UserError, match=r"x\.safetensors: 'keras_vit' in its header"):
        header_facts(open_checkpoint(path).metadata, str(path))
