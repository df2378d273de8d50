# SPDX-License-Identifier: MIT
"""OpenCLIP: what its configuration tells, and what is asked for or refused."""

import json
import shutil
import zipfile

import pytest

from keras_vit import UserError
from keras_vit.weights import open_source
from tests.weights.fixtures import LANGUAGE, tensors_of, write

SETTINGS = json.loads((LANGUAGE / "open_clip_both" / "open_clip_config.json").read_text())


def changed(folder, vision=None, **model):
    """A copy of the fixture with other settings of the encoder, or of the model."""
    shutil.copytree(LANGUAGE / "open_clip_both", folder)
    told = {**SETTINGS["model_cfg"], **model}
    told["vision_cfg"] = {**told["vision_cfg"], **(vision or {})}
    settings = json.dumps({**SETTINGS, "model_cfg": told})
    (folder / "open_clip_config.json").write_text(settings)
    return folder


@pytest.mark.parametrize(
    ("vision", "said"),
    [
        ({"attentional_pool": True}, "many queries"),
        ({"scaled_cosine_attn": True}, "cosine attention"),
        ({"scale_fc": True}, "OpenCLIP's own design"),
        ({"timm_model_name": "vit_base_patch16_224"}, "an encoder of timm"),
        ({"layers": [3, 4, 6, 3]}, "a ResNet"),
        ({"pool_type": "none"}, "pool_type is 'none'"),
        ({"pool_type": 1}, "pool_type"),
        ({"head_width": 0}, "head_width"),
        ({"mlp_ratio": 4.0}, "belongs to another model"),
        ({"act_kwargs": {"approximate": "tanh"}}, "act_kwargs"),  # quick GELU has no such argument
        ({"norm_kwargs": {"elementwise_affine": False}}, "norm_kwargs"),
        ({"norm_kwargs": {"eps": "small"}}, "norm_kwargs.eps"),
        ({"image_size": "16"}, "image_size"),
    ],
)
def test_settings_that_are_refused(vision, said, tmp_path):
    with pytest.raises(UserError, match=said):
        open_source(changed(tmp_path / "x", vision))


def test_settings_that_change_what_is_computed(tmp_path):
    def config(name, vision=None, **model):
        return open_source(changed(tmp_path / name, vision, **model)).config

    assert config("a").activation == "quick_gelu"
    assert config("b", quick_gelu=False).activation == "gelu"
    assert config("c", {"head_width": 4}).num_heads == 4
    average = config("d", {"pool_type": "avg"})
    assert (average.pool, average.norm_after_pool) == ("average", False)
    assert config("e", {"pool_type": "avg", "final_ln_after_pool": True}).norm_after_pool


def test_statistics_are_openais_where_no_file_tells(tmp_path):
    folder = changed(tmp_path / "x")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": SETTINGS["model_cfg"]}))
    assert open_source(folder).config.pixel_mean == (0.48145466, 0.4578275, 0.40821073)


def test_a_bare_file_is_asked_about(tmp_path):
    path = tmp_path / "x.safetensors"
    shutil.copy(LANGUAGE / "open_clip_both" / "open_clip_model.safetensors", path)
    known = {"num_heads": 2, "activation": "quick_gelu", "norm_epsilon": 1e-5}
    asked = r"open_clip_config.json next to it, or give num_heads=, activation=, norm_epsilon=, "
    with pytest.raises(UserError, match=asked):
        open_source(path)
    with pytest.raises(UserError, match="before the average or after"):
        open_source(path, **known, pool="average")
    statistics = {"pixel_mean": 0.5, "pixel_std": 0.5}
    found = open_source(path, **known, **statistics, pool="token").config
    assert found == open_source(LANGUAGE / "open_clip_both").config


def test_names_of_a_training_program(tmp_path):
    tensors = tensors_of(LANGUAGE / "open_clip_both")
    write(tmp_path / "x.safetensors", {f"module.{n}": a for n, a in tensors.items()})
    shutil.copy(LANGUAGE / "open_clip_both" / "open_clip_config.json", tmp_path)
    source = open_source(tmp_path / "x.safetensors")
    source.check()
    assert source.prefix == "module.visual."
    assert all(not name.startswith("module.visual.") for name in source.skipped)


def test_the_programs_in_which_openai_published_clip_are_refused_by_name(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ViT-B-32/code/__torch__/multimodal/model.py", "pass")
        archive.writestr("ViT-B-32/data.pkl", b"")
    with pytest.raises(UserError, match=r"a program .* as OpenAI published CLIP"):
        open_source(path)
