# SPDX-License-Identifier: MIT
"""Encoders of images of CLIP, SigLIP and OpenCLIP: outputs, names in and out, what is refused."""

import importlib.util
import json
import shutil
import tracemalloc

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.models import config_of
from keras_vit.weights import certify, convert, inspect, load_model, open_source
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.registry import writer_of
from keras_vit.weights.resample import position_grid
from keras_vit.weights.saving import save_arrays
from tests.weights.fixtures import LANGUAGE, close, stored, tensors_of, write

FIXTURES = sorted(path.name for path in LANGUAGE.iterdir() if path.is_dir())
# Dialects of other families that can say the same model.
SHARED = {
    "clip_projection": {"hf_metaclip_2"},
    "clip_vision": {"hf_metaclip_2", "hf_chinese_clip", "timm"},
    "open_clip_both": {"hf_clip", "hf_metaclip_2"},
    "siglip2_vision": {"hf_siglip", "timm"},
    "siglip_classifier": {"hf_siglip2", "timm"},
}


def arrays_of(path, **options):
    """The configuration of a checkpoint, and its variables by our paths."""
    config, arrays = open_source(path, **options).fitted()
    return config, dict(arrays)


def copied(name, folder, **changes):
    """A copy of a fixture with changes in its config.json; None takes a field out."""
    shutil.copytree(LANGUAGE / name, folder)
    file = folder / ("open_clip_config.json" if name.startswith("open") else "config.json")
    settings = {**json.loads(file.read_text()), **changes}
    settings = {key: value for key, value in settings.items() if value is not None}
    file.write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("name", FIXTURES)
def test_outputs_are_those_of_the_library(name):
    pixels, outputs = stored(LANGUAGE / name)
    model = load_model(LANGUAGE / name)
    assert {v.path: tuple(v.shape) for v in model.weights} == shapes(config_of(model))
    assert close(keras.ops.convert_to_numpy(model(pixels, training=False)), outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXTURES)
def test_every_layer_is_that_of_the_library_and_so_is_what_is_written(name, tmp_path):
    reference = "open_clip" if name.startswith("open_clip") else "hf"
    library = "open_clip" if reference == "open_clip" else "transformers"
    # Not imported here: `run_reference` knows what has to come before.
    if not all(map(importlib.util.find_spec, ("torch", library))):
        pytest.skip("needs the extra `parity`")
    assert certify(LANGUAGE / name, reference=reference).passed
    to = "hf_clip" if name == "chinese_clip_both" else open_source(LANGUAGE / name).dialect
    convert(LANGUAGE / name, tmp_path / "x", to)
    assert certify(tmp_path / "x", reference=reference).passed


@pytest.mark.parametrize("name", FIXTURES)
def test_home_and_back_is_bit_identical(name, tmp_path):
    source = open_source(LANGUAGE / name)
    config, arrays = arrays_of(LANGUAGE / name)
    # transformers has no class for the encoder of Chinese CLIP and its projection without texts.
    dialect = "hf_clip" if name == "chinese_clip_both" else source.dialect
    save_arrays(config, arrays, tmp_path / "x", dialect)
    assert open_source(tmp_path / "x").config == config
    before = {n: a for n, a in tensors_of(LANGUAGE / name).items() if n not in source.skipped}
    after = tensors_of(tmp_path / "x")
    for name in source.adapter.idle(config):
        del after[name]
    # transformers 5 leaves the prefix out where there is nothing else, and reads it all the same.
    before, after = (
        {n.removeprefix("vision_model."): a for n, a in tensors.items()}
        for tensors in (before, after)
    )
    assert set(before) == set(after)
    assert all(np.array_equal(before[n], after[n]) for n in before)


@pytest.mark.parametrize("name", SHARED)
def test_the_same_model_in_the_dialect_of_another_family(name, tmp_path):
    config, arrays = arrays_of(LANGUAGE / name)
    for dialect in SHARED[name]:
        save_arrays(config, arrays, tmp_path / dialect, dialect)
        again, back = arrays_of(tmp_path / dialect)
        assert again == config
        assert all(np.array_equal(back[path], arrays[path]) for path in arrays)


@pytest.mark.parametrize(
    ("dialect", "changes", "reason"),
    [
        ("hf_clip", {"embedding_norm": False}, "without a norm before the blocks"),
        ("hf_clip", {"patch_bias": True}, "a bias of the projection of patches"),
        ("hf_clip", {"head_bias": 0.0}, "a bias of the head on the class token"),
        ("hf_clip", {"pool": "average"}, "an average of normalised patches"),
        ("hf_clip", {"image_size": (16, 24)}, "not square"),
        ("hf_clip", {"gated_mlp": True}, "a gated MLP"),
        ("hf_chinese_clip", {}, "a head"),
        ("open_clip", {"activation": "silu"}, "the activation silu"),
        ("open_clip", {"num_classes": 0}, "a model without a head"),
        ("hf_siglip", {}, "a norm before the first block; a class token"),
        ("hf_siglip2", {"embedding_norm": False, "pool": "map"}, "a head after the pool"),
        ("flax", {}, "a norm before the first block"),
    ],
)
def test_what_a_family_cannot_say_is_refused_in_words(dialect, changes, reason, tmp_path):
    told = {"num_classes": 6, "head_bias": None, "patch_bias": False, "embedding_norm": True}
    told |= {"image_size": 16, "patch_size": 4, "width": 16, "num_heads": 2, "mlp_dim": 32}
    config = ViTConfig(**{**told, "depth": 1, "activation": "gelu_tanh", **changes})
    arrays = {path: np.zeros(shape, np.float32) for path, shape in shapes(config).items()}
    path = tmp_path / ("x.npz" if dialect == "flax" else "x")
    with pytest.raises(UserError, match=f"cannot express .*{reason}"):
        save_arrays(config, arrays, path, dialect)


@pytest.mark.parametrize(
    ("name", "lost", "named"),
    [
        ("clip_vision", "vision_model.pre_layrnorm.bias", "pre_layrnorm.bias"),
        ("clip_both", "vision_model.encoder.layers.1.mlp.fc2.weight", "mlp.fc2.weight"),
        ("siglip_both", "vision_model.head.attention.in_proj_bias", "in_proj_bias"),
        ("siglip_vision", "head.probe", "vision_use_head"),
        ("siglip2_vision", "embeddings.position_embedding.weight", "position_embedding"),
        ("open_clip_both", "visual.ln_post.weight", "ln_post.weight"),
        ("open_clip_both", "visual.transformer.resblocks.0.attn.in_proj_bias", "in_proj_bias"),
    ],
)
def test_a_tensor_that_is_missing_is_named(name, lost, named, tmp_path):
    tensors = tensors_of(LANGUAGE / name)
    del tensors[lost]
    with pytest.raises(UserError, match=named):
        arrays_of(_with_tensors(name, tensors, tmp_path / "x"))


@pytest.mark.parametrize(
    ("name", "more", "feature"),
    [
        ("clip_both", "vision_model.encoder.layers.0.layer_scale.gamma", "LayerScale"),
        ("clip_both", "vision_model.embeddings.rope.inv_freq", "rotary positions"),
        ("siglip_both", "vision_model.encoder.layers.0.mlp.gate_proj.weight", "SwiGLU"),
        ("open_clip_both", "visual.attn_pool.query", "left over"),
        ("open_clip_both", "visual.transformer.resblocks.0.attn.ln_q.weight", "left over"),
    ],
)
def test_a_tensor_of_another_model_is_refused(name, more, feature, tmp_path):
    tensors = tensors_of(LANGUAGE / name) | {more: np.ones((2,), np.float32)}
    with pytest.raises(UserError, match=feature):
        arrays_of(_with_tensors(name, tensors, tmp_path / "x"))


def _with_tensors(name, tensors, folder):
    shutil.copytree(LANGUAGE / name, folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    write(folder / "model.safetensors", tensors)
    return folder


def test_the_encoder_of_texts_is_not_read(tmp_path):
    """A file of 200 MB, of which the encoder of images has 30 kB."""
    name, numbers = "text_model.embeddings.token_embedding.weight", 50_000_000
    folder = copied("clip_both", tmp_path / "x")
    file = folder / "model.safetensors"
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    del header[name], header["__metadata__"]
    values, end = b"", 0
    for entry in header.values():
        begin, stop = entry["data_offsets"]
        values += content[start + begin : start + stop]
        entry["data_offsets"] = [end, end := end + stop - begin]
    header[name] = {"dtype": "F32", "shape": [numbers // 50, 50]}
    header[name]["data_offsets"] = [end, end + 4 * numbers]
    text = json.dumps(header).encode()
    with file.open("wb") as whole:
        whole.write(len(text).to_bytes(8, "little") + text + values)
        whole.truncate(8 + len(text) + end + 4 * numbers)  # the rest are zeros without blocks
    tracemalloc.start()
    assert inspect(folder).config is not None
    convert(folder, tmp_path / "y", "hf_clip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < 4 * numbers
    assert not any(n.startswith("text") for n in open_checkpoint(tmp_path / "y"))


@pytest.mark.parametrize("dialect", ["hf_clip", "hf_siglip2", "open_clip"])
def test_positions_are_resampled_as_the_library_does(dialect):
    method = writer_of(dialect).resampling.positions
    with np.load(LANGUAGE / "resampled.npz") as found:
        table = found["table"]
        for side in (3, 6):
            expected = found[f"{dialect}_{side}"]
            prefix = int(dialect != "hf_siglip2")
            rows = table[1 - prefix :][None]
            ours = position_grid(rows, (4, 4), (side, side), prefix, method)
            # Both interpolate in float32; the numbers are below 4.
            np.testing.assert_allclose(ours[0], expected[0][: len(ours[0])], atol=2e-6)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("clip_classifier", {"architectures": ["CLIPModel"]}, "names CLIPModel, but .* a classif"),
        ("siglip_both", {"architectures": ["SiglipForImageClassification"]}, "no classifier"),
        ("clip_vision", {"hidden_act": "tanh"}, "hidden_act is 'tanh'"),
        ("clip_vision", {"hidden_size": 8}, "belongs to another model"),
        ("clip_vision", {"model_type": "blip_vision_model"}, "blip_vision_model.* not known"),
        ("siglip_vision", {"vision_use_head": False}, "vision_use_head=False"),
        ("siglip_vision", {"model_type": "siglip2_vision_model"}, "expected 2 dimensions"),
        ("siglip2_vision", {"patch_size": 5}, "48 numbers in a patch"),
        ("siglip2_vision", {"patch_size": [4, 4]}, "whole numbers as patch_size"),
        ("siglip2_vision", {"num_patches": 10**9}, "whole numbers as patch_size and num_patches"),
        ("siglip2_vision", {"model_type": None}, "NaFlex"),
    ],
)
def test_a_config_json_that_does_not_fit(name, changes, said, tmp_path):
    with pytest.raises(UserError, match=said):
        open_source(copied(name, tmp_path / "x", **changes))


def test_settings_that_a_config_json_leaves_out_are_those_of_the_library(tmp_path):
    path = copied("clip_vision", tmp_path / "x", hidden_act=None, layer_norm_eps=None)
    assert open_source(path).config == open_source(LANGUAGE / "clip_vision").config
    path = copied("siglip_vision", tmp_path / "y", num_attention_heads=None)
    with pytest.raises(UserError, match="num_heads"):  # 12, which do not divide 16
        open_source(path)


def test_settings_that_old_files_have_twice(tmp_path):
    settings = json.loads((LANGUAGE / "clip_both" / "config.json").read_text())
    told = {**settings["vision_config"], "hidden_act": "gelu"}
    del told["layer_norm_eps"]
    other = {**settings["vision_config"], "layer_norm_eps": 1e-3, "num_attention_heads": 4}
    path = copied("clip_both", tmp_path / "x", vision_config=other, vision_config_dict=told)
    config = open_source(path).config
    assert (config.activation, config.norm_epsilon, config.num_heads) == ("gelu", 1e-5, 2)


def test_a_bare_file_is_asked_about(tmp_path):
    for name in ("clip_vision", "siglip_both"):
        path = tmp_path / f"{name}.safetensors"
        shutil.copy(LANGUAGE / name / "model.safetensors", path)
        with pytest.raises(UserError, match="num_heads=, activation=, norm_epsilon="):
            open_source(path)
        told = open_source(LANGUAGE / name).config
        known = {"num_heads": 2, "activation": told.activation, "norm_epsilon": told.norm_epsilon}
        found = open_source(path, **known, pixel_mean=0.5, pixel_std=0.5).config
        assert found == told


def test_statistics_are_those_of_the_library_where_no_file_tells(tmp_path):
    for name, mean in (("clip_vision", 0.4578275), ("siglip_vision", 0.5)):
        path = copied(name, tmp_path / name)
        (path / "preprocessor_config.json").unlink()
        config = open_source(path).config
        assert config.pixel_mean[len(config.pixel_mean) // 2] == mean


def test_an_encoder_without_pool_is_asked_about(tmp_path):
    tensors = {n: a for n, a in tensors_of(LANGUAGE / "siglip_vision").items() if "head" not in n}
    folder = _with_tensors("siglip_vision", tensors, tmp_path / "x")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"vision_use_head": False}))
    with pytest.raises(UserError, match="pool='average'"):
        open_source(folder)
    assert open_source(folder, pool="average").config.pool == "average"
