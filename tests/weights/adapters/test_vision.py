# SPDX-License-Identifier: MIT
"""Encoders of transformers that know images alone: outputs, names in and out, what is refused."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.layers.relative_position import relative_position_index
from keras_vit.models import config_of
from keras_vit.weights import load_model, open_source
from keras_vit.weights.registry import writer_of
from keras_vit.weights.resample import offset_table, position_grid
from keras_vit.weights.saving import save_arrays
from tests.weights.fixtures import VISION, close, stored, tensors_of, write

FIXTURES = sorted(path.name for path in VISION.iterdir() if path.is_dir())
TABLE = "attention.attention.relative_position_bias.relative_position_bias_table"


def arrays_of(path, **options):
    """The configuration of a checkpoint, and its variables by our paths."""
    config, arrays = open_source(path, **options).fitted()
    return config, dict(arrays)


def copied(name, folder, tensors=None, **changes):
    """A copy of a fixture with other tensors or with changes in its config.json; None takes a field
    out."""
    shutil.copytree(VISION / name, folder)
    settings = {**json.loads((folder / "config.json").read_text()), **changes}
    settings = {key: value for key, value in settings.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(settings))
    if tensors is not None:
        write(folder / "model.safetensors", tensors)
    return folder


@pytest.mark.parametrize("name", FIXTURES)
def test_outputs_are_those_of_transformers(name):
    pixels, outputs = stored(VISION / name)
    model = load_model(VISION / name)
    assert {v.path: tuple(v.shape) for v in model.weights} == shapes(config_of(model))
    assert close(keras.ops.convert_to_numpy(model(pixels, training=False)), outputs)


@pytest.mark.parametrize("name", FIXTURES)
def test_home_and_back_is_bit_identical(name, tmp_path):
    source = open_source(VISION / name)
    config, arrays = arrays_of(VISION / name)
    save_arrays(config, arrays, tmp_path / "x", source.dialect)
    again, back = arrays_of(tmp_path / "x")
    assert again == config
    assert all(np.array_equal(back[path], arrays[path]) for path in arrays)
    before, after = tensors_of(VISION / name), tensors_of(tmp_path / "x")
    if name != "beit_shared":  # comes back with a table for each block
        assert set(before) == set(after)
        assert all(np.array_equal(before[n], after[n]) for n in before)


def test_a_table_that_all_blocks_share_is_read_into_each():
    config, arrays = arrays_of(VISION / "beit_shared")
    shared = tensors_of(VISION / "beit_shared")[
        "encoder.relative_position_bias.relative_position_bias_table"
    ]
    tables = [a for path, a in arrays.items() if path.endswith("relative_position_bias/table")]
    assert len(tables) == config.depth == 2
    assert all(np.array_equal(table, shared) for table in tables)


DINOV2 = {"layer_scale": 1.0, "mlp_dim": 32, "pool": "token_and_average"}
DINOV3 = {"num_classes": 0, "layer_scale": 1.0, "position": "none", "rotary": "dinov3"}
BEIT = {"qkv_bias": "query_value"}
AVERAGE = {"class_token": False, "pool": "average"}
AIMV2 = {**AVERAGE, "num_classes": 0, "patch_norm": True, "norm": "rms", "gated_mlp": True}


@pytest.mark.parametrize(
    ("dialect", "changes", "reason"),
    [
        ("hf_dinov2", {**DINOV2, "layer_scale": None}, "a model without LayerScale"),
        ("hf_dinov2", {**DINOV2, "mlp_dim": 40}, "an MLP of this size"),
        ("hf_dinov2", {**DINOV2, "pool": "token"}, "does not read the class token and the average"),
        ("hf_dinov2", {**DINOV2, "num_classes": 0}, "a representation that is not the class token"),
        ("hf_dinov2", {**DINOV2, "gated_mlp": True}, "another activation than SiLU"),
        ("hf_dinov2", {**DINOV2, "image_size": (16, 24)}, "images that are not square"),
        ("hf_dinov2", {**DINOV2, "rotary": "dinov3"}, "rotary positions"),
        ("hf_dinov2", {**DINOV2, "qk_norm": True}, "QK-norm"),
        ("hf_dinov3", {**DINOV3, "num_classes": 5}, "a head"),
        ("hf_dinov3", {**DINOV3, "rotary": "axial"}, "rotary positions"),
        ("hf_dinov3", {**DINOV3, "rotary": "none"}, "a model without rotary positions"),
        ("hf_dinov3", {**DINOV3, "position": "learned"}, "positions that are added"),
        ("hf_beit", {**BEIT, "qkv_bias": "all"}, "biases of keys"),
        ("hf_beit", {**BEIT, "pool": "average"}, "not normalised after the pool"),
        ("hf_beit", {**BEIT, "register_tokens": 1}, "registers"),
        ("hf_beit", {**BEIT, "final_norm": False}, "without a norm after the last block"),
        ("hf_beit", {**BEIT, "relative_position_bias": True, "image_size": (16, 24)}, "not square"),
        ("hf_pixio", {"num_classes": 0, "mlp_dim": 32, "image_size": (16, 24)}, "not square"),
        ("hf_data2vec", {**BEIT, "final_norm": False}, "a head without a norm"),
        ("hf_ijepa", {}, "a class token"),
        ("hf_ijepa", {**AVERAGE, "norm_after_pool": True}, "a norm after the average"),
        ("hf_aimv2", {**AIMV2, "norm": "layer"}, "LayerNorm"),
        ("hf_aimv2", {**AIMV2, "dense_bias": False}, "biases in a part"),
        ("hf_tipsv2", {"layer_scale": 1.0}, "a head"),
        ("hf_pixio", {"num_classes": 0, "mlp_dim": 40}, "an MLP of this size"),
        ("hf_pixio", {"num_classes": 0, "mlp_dim": 32, "register_tokens": 7}, "registers"),
        ("hf", {"layer_scale": 1.0}, "LayerScale"),
    ],
)
def test_what_a_family_cannot_say_is_refused_in_words(dialect, changes, reason, tmp_path):
    sizes = {"image_size": 16, "patch_size": 4, "width": 16, "num_heads": 2, "mlp_dim": 32}
    config = ViTConfig(**{"num_classes": 5, **sizes, "depth": 1, **changes})
    with pytest.raises(UserError, match=f"cannot express .*{reason}"):
        save_arrays(config, {}, tmp_path / "x", dialect)
    assert not (tmp_path / "x").exists()


def test_a_refusal_names_the_families_that_can(tmp_path):
    config, arrays = arrays_of(VISION / "dinov3")
    with pytest.raises(UserError, match=r"Dialects that can: .*hf_dinov3"):
        save_arrays(config, arrays, tmp_path / "x", "hf")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("aimv2", {"is_native": True}, "is_native: .* sines as positions"),
        ("aimv2", {"mlp_bias": True}, "qkv_bias and mlp_bias differ"),
        ("beit", {"use_shared_relative_position_bias": True}, "are both on"),
        ("beit", {"image_size": [16, 24]}, "takes rows for columns"),
        ("dinov3", {"hidden_act": "selu"}, "hidden_act is 'selu'"),
        ("dinov3", {"hidden_size": 8}, "belongs to another model"),
        ("dinov3", {"rope_theta": "x"}, "rotary_temperature"),
        ("ijepa", {"model_type": "radio"}, "no norm after the last block"),
    ],
)
def test_a_config_json_that_does_not_fit(name, changes, said, tmp_path):
    with pytest.raises(UserError, match=said):
        open_source(copied(name, tmp_path / "x", **changes))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dinov2", "beit"), ("beit", "dinov2"), ("tipsv2", "dinov2"), ("dinov3", "ijepa")],
)
def test_a_config_json_of_another_family_is_refused(name, kind, tmp_path):
    path = copied(name, tmp_path / "x", model_type=kind)
    with pytest.raises(
        UserError, match=rf"names of hf_{name}.*is of hf_{kind}, of the same library"
    ):
        open_source(path)


@pytest.mark.parametrize("name", ["dinov2", "beit", "ijepa", "aimv2", "pixio", "tipsv2"])
def test_a_bare_file_is_asked_about(name, tmp_path):
    path = tmp_path / "model.safetensors"
    shutil.copy(VISION / name / "model.safetensors", path)
    with pytest.raises(UserError, match="num_heads=, activation=, norm_epsilon="):
        open_source(path)
    told = open_source(VISION / name).config
    known = {"num_heads": 2, "activation": told.activation, "norm_epsilon": told.norm_epsilon}
    assert open_source(path, **known).config == told


def test_the_periods_of_rotary_positions_are_not_guessed(tmp_path):
    shutil.copy(VISION / "dinov3" / "model.safetensors", tmp_path)
    with pytest.raises(UserError, match="periods of its rotary positions"):
        open_source(tmp_path / "model.safetensors", num_heads=2, activation="gelu")
    config = open_source(VISION / "dinov3_gated").config
    assert (config.rotary, config.rotary_temperature) == ("dinov3", 50.0)
    assert (config.qkv_bias, config.norm_epsilon) == ("all", 1e-5)


def test_names_of_modules_in_memory(tmp_path):
    """What `torch.save` writes of a DINOv3 of transformers 5."""
    tensors = tensors_of(VISION / "dinov3")
    renamed = {
        n.replace("layer.", "model.layer.", n.startswith("layer.")): a for n, a in tensors.items()
    }
    assert any(name.startswith("model.layer.0") for name in renamed)
    _, ours = arrays_of(copied("dinov3", tmp_path / "x", renamed))
    _, expected = arrays_of(VISION / "dinov3")
    assert all(np.array_equal(ours[path], expected[path]) for path in expected)


def test_the_encoder_beside_one_of_texts(tmp_path):
    tensors = {f"vision_encoder.{n}": a for n, a in tensors_of(VISION / "tipsv2").items()}
    tensors |= {"text_encoder.ln_final.weight": np.ones(4, np.float32)}
    tensors |= {"temperature": np.ones((), np.float32)}
    settings = json.loads((VISION / "tipsv2" / "config.json").read_text())
    path = copied("tipsv2", tmp_path / "x", tensors, model_type="tipsv2", vision_config=settings)
    config, arrays = arrays_of(path)
    expected, wanted = arrays_of(VISION / "tipsv2")
    assert config == expected
    assert all(np.array_equal(arrays[path], wanted[path]) for path in wanted)


def test_a_pool_that_the_model_here_has_not(tmp_path):
    tensors = tensors_of(VISION / "aimv2")
    head = {"head.cls_token": np.ones((1, 1, 16)), "head.k_proj.weight": np.ones((16, 16))}
    path = copied("aimv2", tmp_path / "x", tensors | head)
    with pytest.raises(UserError, match="pool of attention without queries of its own"):
        open_source(path)
    assert open_source(path, skip="head.*").config == open_source(VISION / "aimv2").config


def test_the_pool_of_several_class_tokens_is_asked_about(tmp_path):
    tensors = tensors_of(VISION / "pixio")
    token, positions = "embeddings.cls_token", "embeddings.position_embeddings"
    tensors[token] = np.concatenate([tensors[token], 2 * tensors[token]], 1)
    tensors[positions] = np.concatenate([tensors[positions][:, :1], tensors[positions]], 1)
    path = copied("pixio", tmp_path / "x", tensors, n_cls_tokens=2)
    with pytest.raises(UserError, match="average of 2 class tokens"):
        open_source(path)
    config, arrays = arrays_of(path, pool="average")
    assert (config.register_tokens, config.register_tokens_in_positions) == (1, True)
    assert np.array_equal(arrays["patch_encoder/class_embedding"], tensors[token][:, :1])
    assert np.array_equal(arrays["patch_encoder/register_embedding"], tensors[token][:, 1:])
    assert np.array_equal(arrays["patch_encoder/position_embedding"], tensors[positions])


@pytest.mark.parametrize(
    ("name", "lost", "named"),
    [
        ("dinov2_swiglu", "encoder.layer.1.mlp.weights_in.bias", "mlp.weights_in.bias"),
        ("dinov3", "layer.1.layer_scale2.lambda1", "layer_scale2.lambda1"),
        ("beit", f"beit.encoder.layer.1.{TABLE}", "relative_position_bias_table"),
        ("aimv2", "embeddings.rms_norm.weight", "rms_norm.weight"),
        ("tipsv2", "register_tokens", "pos_embed|register_tokens|left over"),
    ],
)
def test_a_tensor_that_is_missing_is_named(name, lost, named, tmp_path):
    tensors = tensors_of(VISION / name)
    del tensors[lost]
    if name == "tipsv2":  # a model without registers is one, too
        assert open_source(copied(name, tmp_path / "x", tensors)).config.register_tokens == 0
        return
    with pytest.raises(UserError, match=named):
        arrays_of(copied(name, tmp_path / "x", tensors))


@pytest.mark.parametrize(
    ("name", "more", "feature"),
    [
        ("dinov2", "dinov2.encoder.layer.0.attention.rope.inv_freq", "rotary positions"),
        ("ijepa", "ijepa.encoder.layer.0.lambda_1", "LayerScale"),
        ("dinov3", "layer.0.attention.q_norm.weight", "left over"),
    ],
)
def test_a_tensor_of_another_model_is_refused(name, more, feature, tmp_path):
    tensors = tensors_of(VISION / name) | {more: np.ones((2,), np.float32)}
    with pytest.raises(UserError, match=feature):
        arrays_of(copied(name, tmp_path / "x", tensors))


@pytest.mark.parametrize("side", [6, 12])
@pytest.mark.parametrize(
    ("home", "registers"),
    [("dinov2", 0), ("dinov2_with_registers", 4), ("tipsv2", 1), ("dinov2_release", 0)],
)
def test_positions_are_resampled_as_at_home(home, registers, side):
    config = ViTConfig.of("mu/16", image_size=32, register_tokens=registers)
    adapter = registry_of("dinov2_release" if home == "dinov2_release" else f"hf_{home[:6]}")
    with np.load(VISION / "resampled.npz") as found:
        method = adapter.resampling_of(config).positions
        ours = position_grid(found["table"], (8, 8), (side, side), 1, method)
        # Two sums of four or more products in float32, of numbers up to 4.
        np.testing.assert_allclose(ours, found[f"{home}_{side}"], atol=5e-6)


@pytest.mark.parametrize("side", [6, 12])
def test_relative_positions_are_resampled_as_at_home(side):
    method = writer_of("hf_beit").resampling.offsets
    with np.load(VISION / "resampled.npz") as found:
        table = offset_table(found["offsets"], (8, 8), (side, side), method)
        scores = table[relative_position_index((side, side), True)].transpose(2, 0, 1)
        # As above, with numbers up to 3.
        np.testing.assert_allclose(scores, found[f"beit_{side}"][0], atol=5e-6)


def registry_of(dialect):
    """The family of a dialect, be it written or not."""
    from keras_vit.weights import registry

    return next(a for a in registry._ADAPTERS if dialect in a.dialects)
