# SPDX-License-Identifier: MIT
"""Encoders of timm in checkpoints of OpenCLIP are those of timm."""

import json

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights import open_source
from tests.weights.fixtures import FOLDER, tensors_of, write

MAP = FOLDER / "timm_map.safetensors"
NAME = "vit_base_patch16_siglip_224"
KNOWN = {"num_heads": 2}


def checkpoint(folder, tensors, **vision):
    """The tensors of timm as OpenCLIP saves them, beside an encoder of texts."""
    folder.mkdir()
    named = {
        f"visual.{'' if n.startswith('head.proj') else 'trunk.'}{n}": a for n, a in tensors.items()
    }
    named["text.token_embedding.weight"] = np.ones((2, 2), np.float32)
    write(folder / "open_clip_model.safetensors", named)
    vision = {"timm_model_name": NAME, "timm_pool": "map", "image_size": 16, **vision}
    settings = {"model_cfg": {"vision_cfg": vision}, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return folder


def test_the_architecture_is_named_by_the_configuration(tmp_path):
    folder = checkpoint(tmp_path / "x", tensors_of(MAP))
    source = open_source(folder, **KNOWN)
    config, arrays = source.fitted()
    statistics = {"pixel_mean": (0.1, 0.2, 0.3), "pixel_std": config.pixel_std}
    expected, same = open_source(MAP, architecture=NAME, **statistics, **KNOWN).fitted()
    assert config == expected
    assert config.pixel_std == (0.26862954, 0.26130258, 0.27577711)
    same = dict(same)
    assert all(np.array_equal(array, same[path]) for path, array in arrays)
    assert source.skipped == ("text.token_embedding.weight",)


def test_a_projection_after_the_encoder_is_its_head(tmp_path):
    tensors = {n: a for n, a in tensors_of(MAP).items() if not n.startswith("head")}
    projection = np.arange(6 * 24, dtype=np.float32).reshape(6, 24)
    folder = checkpoint(tmp_path / "x", {**tensors, "head.proj.weight": projection})
    config, arrays = open_source(folder, **KNOWN).fitted()
    assert (config.num_classes, config.head_bias) == (6, None)
    assert np.array_equal(dict(arrays)["head/kernel"], projection.T)


@pytest.mark.parametrize(
    ("vision", "said"),
    [
        ({"timm_model_name": "convnext_base"}, "convnext_base"),
        ({"timm_pool": "abs_attn"}, "timm_pool is 'abs_attn'"),
        ({"timm_pool": "token"}, "the pool 'map'"),
        ({"timm_model_name": None}, "the form of GELU|architecture"),
    ],
)
def test_what_does_not_fit_is_refused(vision, said, tmp_path):
    folder = checkpoint(tmp_path / "x", tensors_of(MAP), **vision)
    with pytest.raises(UserError, match=said):
        open_source(folder, **KNOWN)
