# SPDX-License-Identifier: MIT
"""Names and configurations of timm: what they tell, and what is asked for."""

import numpy as np
import pytest

from keras_vit import UserError, config_of
from keras_vit.weights import load_model, open_source, save
from keras_vit.weights.adapters.timm import Timm
from keras_vit.weights.formats import Spec, open_checkpoint
from keras_vit.weights.infer import Tensors
from tests.weights.fixtures import (
    FOLDER,
    TIMM,
    folder_of,
    reproduces,
    tensors_of,
    write,
)

TIMM_CONFIG = {"architecture": "vit_base_patch16_224", "model_args": {"num_heads": 2}}


def test_raw_names_of_deit3_and_dinov2(tmp_path):
    """Registers beside a table for class token and patches; LayerScale as gamma_1, gamma_2."""
    fixture = FOLDER / "timm_layer_scale.safetensors"
    tensors = {
        f"module.{name.replace('.ls1.gamma', '.gamma_1').replace('.ls2.gamma', '.gamma_2')}": array
        for name, array in tensors_of(fixture).items()
    }
    path = write(tmp_path / "x.safetensors", tensors)
    # timm calls LayerScale so in the models with rotary positions, whose other tensors are these.
    with pytest.raises(UserError, match="whether positions are rotary"):
        load_model(path, num_heads=2)
    assert reproduces(path, fixture, num_heads=2, architecture="deit3_base_patch16_224")
    tensors = tensors_of(TIMM)
    tensors["register_tokens"] = np.ones((1, 3, 24), np.float32)
    tensors["mask_token"] = np.ones((1, 24), np.float32)
    source = open_source(write(tmp_path / "y.safetensors", tensors), num_heads=2)
    assert source.config.register_tokens == 3
    assert source.config.class_token_in_positions
    assert not source.config.register_tokens_in_positions
    assert source.skipped == ("mask_token",)


def test_a_timm_folder_tells_everything(tmp_path):
    model = load_model(TIMM, num_heads=2, pixel_mean=(0.4, 0.5, 0.6), image_size=24)
    save(model, tmp_path / "x", "timm")
    back = load_model(tmp_path / "x")
    assert config_of(back) == config_of(model)
    (tmp_path / "x" / "config.json").unlink()
    assert config_of(load_model(tmp_path / "x")) == config_of(model)  # the header tells as well


def heads_of(width, depth, mlp_dim, names=None, **facts):
    specs = {
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "pos_embed": (1, 197, width),
        "cls_token": (1, 1, width),
        "blocks.0.mlp.fc1.weight": (mlp_dim, width),
        "blocks.0.mlp.fc2.weight": (width, mlp_dim),
    }
    specs |= {f"blocks.{i}.norm1.weight": (width,) for i in range(depth)}
    specs = {name: Spec(shape, "float32") for name, shape in specs.items()}
    tensors = Tensors(specs, "file", names or open_checkpoint(TIMM))
    return Timm().config(tensors, facts).num_heads


def test_heads_of_a_bare_file():
    assert heads_of(768, 12, 3072) == 12
    assert heads_of(1280, 32, 5120) == 16  # ViT-H, whose heads are not of 64
    for sizes in ((1280, 4, 5120), (48, 2, 96)):  # of no architecture
        with pytest.raises(UserError, match="or give num_heads="):
            heads_of(*sizes)
    # The two B/16 of timm without a class token have 12 heads and 16.
    names = set(open_checkpoint(FOLDER / "timm_avg_norm.safetensors"))
    with pytest.raises(UserError, match="number of attention heads, the form of GELU"):
        heads_of(768, 12, 3072, names)
    assert heads_of(768, 12, 3072, num_heads=6) == 6


def test_a_table_that_does_not_tell_the_image_size():
    with pytest.raises(UserError, match="Give image_size="):
        load_model(FOLDER / "timm_not_square.safetensors", num_heads=2)


def test_tokens_without_a_pool_are_no_class_token(tmp_path):
    for config in ({"global_pool": ""}, {"model_args": {"num_heads": 2, "global_pool": ""}}):
        with pytest.raises(UserError, match="global_pool is ''"):
            open_source(folder_of(tmp_path, {**TIMM_CONFIG, **config}))


def test_a_model_of_timm_that_transformers_saved(tmp_path):
    config = {"model_type": "timm_wrapper", **TIMM_CONFIG}
    assert open_source(folder_of(tmp_path, config, prefix="timm_model.")).config.num_heads == 2
