# SPDX-License-Identifier: MIT
"""JSON beside weights whose fields are of other types than they should be."""

import json
import shutil

import pytest

from keras_vit import UserError
from keras_vit.weights.adapters.timm import Timm
from keras_vit.weights.beside import header_facts, read_json
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from keras_vit.weights.inspection import inspect
from tests.weights.fixtures import FOLDER

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
    shutil.copytree(FOLDER / "hf_vit", tmp_path, dirs_exist_ok=True)
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
    tensors = open_checkpoint(FOLDER / "timm_token.safetensors")
    made = [
        (name, spec.shape, lambda name=name: tensors[name]) for name, spec in tensors.specs.items()
    ]
    write_safetensors(path, made, {"keras_vit": text})
    with pytest.raises(UserError, match=r"x\.safetensors: 'keras_vit' in its header"):
        header_facts(open_checkpoint(path).metadata, str(path))
