# SPDX-License-Identifier: MIT
"""What tensors do not tell is read off names and configurations, asked for, or refused."""

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.config import ViTConfig
from keras_vit.weights import load_model, open_source
from keras_vit.weights.adapters.timm_architectures import (
    architecture_row,
    names_digest,
    row_facts,
    table,
)
from keras_vit.weights.adapters.timm_arguments import ACTIVATIONS
from keras_vit.weights.adapters.timm_tables import rotary_layout
from keras_vit.weights.formats import open_checkpoint
from tests.weights.fixtures import FOLDER, TIMM, close, folder_of, stored, write


def tensors(fixture, left_out=(), **renamed):
    checkpoint = open_checkpoint(fixture)
    found = {}
    for name in checkpoint:
        if not any(part in name for part in left_out):
            new = name
            for old, word in renamed.items():
                new = new.replace(old, word)
            found[new] = checkpoint[name]
    return found


def test_tensors_of_one_architecture_alone_are_read_as_it(tmp_path):
    """Without biases of queries, keys and values, an average has its norms after the branches."""
    found = tensors(FOLDER / "timm_avg_fc_norm.safetensors", ["qkv.bias"])
    path = write(tmp_path / "x.safetensors", found)
    assert open_source(path, num_heads=2).config.norm_placement == "after"


def test_tensors_of_architectures_that_compute_differently_are_asked_about(tmp_path):
    """DeiT-3 was released with the names that rotary models of timm have."""
    renamed = {"ls1.gamma": "gamma_1", "ls2.gamma": "gamma_2"}
    found = tensors(FOLDER / "timm_layer_scale.safetensors", **renamed)
    path = write(tmp_path / "x.safetensors", found)
    with pytest.raises(UserError, match=r"whether positions are rotary.*architecture="):
        open_source(path, num_heads=2)
    config = open_source(path, num_heads=2, architecture="deit3_base_patch16_224").config
    assert config.rotary == "none"


def test_tensors_of_no_architecture_with_parts_of_rotary_models_are_asked_about(tmp_path):
    found = tensors(FOLDER / "timm_layer_scale.safetensors", ["ls2"], **{"ls1.gamma": "gamma_1"})
    path = write(tmp_path / "x.safetensors", found)
    with pytest.raises(UserError, match=r"gamma_1, and nothing in the file tells.*rotary"):
        open_source(path, num_heads=2)


def test_a_bare_file_without_positions_is_asked_about(tmp_path):
    path = write(tmp_path / "x.safetensors", tensors(TIMM, ["pos_embed"]))
    with pytest.raises(UserError, match=r"rotary or missing.*architecture="):
        open_source(path, num_heads=2)


def test_a_pool_of_attention_comes_with_either_form_of_gelu():
    path = FOLDER / "timm_map.safetensors"
    with pytest.raises(UserError, match=r"the form of GELU.*architecture=.*activation="):
        open_source(path, num_heads=2)
    siglip = open_source(path, num_heads=2, architecture="vit_base_patch32_siglip_256").config
    assert siglip.activation == "gelu_tanh"
    assert open_source(path, num_heads=2, activation="gelu").config.activation == "gelu"


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("vit_base_patch16_xp_224", "attention and MLP in parallel"),
        ("vit_base_patch16_18x2_224", "two blocks in parallel"),
        ("vit_large_patch16_sapiens2", r"queries in groups \(GQA\)"),
        ("vit_dlittle_patch16_reg1_gap_256", "differential attention"),
        ("vit_base_mci_224", "a convolutional stem"),
        ("vit_base_resnet50d_224", "BatchNorm"),
        ("samvit_base_patch16", "attention in windows"),
    ],
)
def test_an_architecture_is_refused_by_its_features(tmp_path, name, feature):
    """Whatever the tensors: these are of an ordinary ViT."""
    with pytest.raises(UserError, match=feature):
        open_source(folder_of(tmp_path / "x", {"architecture": name}))
    with pytest.raises(UserError, match=feature):
        open_source(TIMM, num_heads=2, architecture=name)


def test_a_header_without_arguments_means_the_architecture(tmp_path):
    config = {"architecture": "test_vit", "pretrained_cfg": {"input_size": [3, 16, 16]}}
    path = folder_of(tmp_path / "x", config)
    with pytest.raises(UserError, match=r"width of 64, the tensors of 24.*num_heads="):
        open_source(path)
    pixels, logits = stored(TIMM)
    model = load_model(path, num_heads=2)
    assert close(np.asarray(model(pixels)), logits)


def test_the_heads_of_an_architecture_stay_when_only_its_width_is_changed(tmp_path):
    arguments = {"embed_dim": 24, "depth": 2, "patch_size": 4, "img_size": 16}
    config = {"architecture": "test_vit", "model_args": arguments}
    assert (
        open_source(folder_of(tmp_path / "x", config)).config.num_heads
        == table()["test_vit"]["num_heads"]
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architecture": "vit_bace_patch16_224"}, "Did you mean vit_base_patch16_224"),
        ({"architecture": 7}, "architecture: expected text, received 7"),
        ({"architecture": "test_vit", "model_args": [1]}, "model_args: expected"),
        ({"architecture": "test_vit", "model_args": {"mlp_layer": "glu"}}, "mlp_layer='glu'"),
        ({"architecture": "test_vit", "model_args": {"pos_embed": "rope"}}, "pos_embed='rope'"),
        ({"architecture": "test_vit", "model_args": {"act_layer": "elu"}}, "act_layer is 'elu'"),
        ({"architecture": "test_vit", "global_pool": "max"}, "global_pool is 'max'"),
        ({"architecture": "test_vit", "global_pool": "map"}, "tensors have the pool 'token'"),
        ({"model_type": "radio"}, "no norm after the last block"),
        ({"model_type": "something_new"}, "what is not known here"),
        ({"model_type": ["vit"]}, "model_type"),
    ],
)
def test_what_a_configuration_says_is_believed_or_refused(tmp_path, config, said):
    with pytest.raises(UserError) as error:
        open_source(folder_of(tmp_path / "x", config), num_heads=2)
    assert said in str(error.value)


def test_pixels_that_no_patch_covers_are_asked_about(tmp_path):
    """timm cuts the last rows off where patches do not cover the image."""
    config = {"architecture": "test_vit", "pretrained_cfg": {"input_size": [3, 18, 18]}}
    path = folder_of(tmp_path / "x", config)
    with pytest.raises(UserError, match=r"18 x 18 .* cover 16 x 16.*image_size=\(16, 16\)"):
        open_source(path, num_heads=2)
    assert open_source(path, num_heads=2, image_size=(16, 16)).config.image_size == (16, 16)


def test_the_table_of_architectures_is_whole():
    assert len(table()) == 297
    for name, row in table().items():
        assert {"names", "width", "depth", "num_heads"} <= set(row) or row["unlike"], name
        assert row.get("unlike") or (row["activation"] in ACTIVATIONS and row["norm_epsilon"] > 0)
    assert architecture_row("vit_tiny_patch16_224_in21k") == table()["vit_tiny_patch16_224"]
    assert names_digest(open_checkpoint(TIMM)) == table()["vit_base_patch16_224"]["names"]


def test_the_channels_that_an_architecture_turns_follow_from_its_other_options():
    rotary = {name: row for name, row in table().items() if row.get("rotary")}
    assert len(rotary) == 60
    for name, row in rotary.items():
        facts = row_facts(row)
        config = ViTConfig(
            rotary=facts["rotary"],
            rotary_reference_grid=facts["rotary_reference_grid"],
            embedding_norm=name.startswith("vit_pe_"),
        )
        assert rotary_layout(config) == facts["rotary_layout"], name
