# SPDX-License-Identifier: MIT
"""What `load_model` infers, asks for, resamples, replaces and refuses."""

import json
import logging
import shutil

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, config_of, vit
from keras_vit.config.variables import shapes
from keras_vit.weights import load_model, open_source, save
from keras_vit.weights.adapters.timm import Timm
from keras_vit.weights.formats import Spec, open_checkpoint, write_npz, write_safetensors
from keras_vit.weights.infer import Tensors
from keras_vit.weights.saving import save_arrays
from tests.weights.fixtures import FOLDER, close, stored

FLAX, BIG_VISION = FOLDER / "vit_jax_token.npz", FOLDER / "bv_map_learn.npz"
TIMM, HF = FOLDER / "timm_token.safetensors", FOLDER / "hf_vit"


def tensors_of(path):
    checkpoint = open_checkpoint(path)
    return {name: checkpoint[name] for name in checkpoint}


def write(path, tensors):
    makers = [(name, array.shape, lambda array=array: array) for name, array in tensors.items()]
    if path.suffix == ".npz":
        write_npz(path, makers)
    else:
        write_safetensors(path, makers, {})
    return path


def run(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False))


def reproduces(path, fixture, **known):
    pixels, logits = stored(fixture)
    return close(run(load_model(path, **known), pixels), logits)


@pytest.mark.parametrize("prefix", ["params/", "opt/target/", "params/img/", "img/"])
def test_prefixes_of_training_programs(tmp_path, prefix):
    tensors = {prefix + name: array for name, array in tensors_of(FLAX).items()}
    beside = "opt/state/step" if not prefix.startswith("opt") else "extra/accum"
    tensors |= {beside: np.ones(3, np.float32), "params/t": np.ones(1, np.float32)}
    tensors["params/txt/head/kernel"] = np.ones((2, 2), np.float32)
    path = write(tmp_path / "x.npz", tensors)
    assert reproduces(path, FLAX)
    assert set(open_source(path).skipped) == {beside, "params/t", "params/txt/head/kernel"}


def test_one_tower_of_two(tmp_path):
    image = {name.removeprefix("params/"): a for name, a in tensors_of(BIG_VISION).items()}
    tensors = {f"params/img/{name}": array for name, array in image.items()}
    tensors |= {f"params/other/{name}": np.ones(2, np.float32) for name in image}
    path = write(tmp_path / "x.npz", tensors)
    assert reproduces(f"{path}:img", BIG_VISION)


def test_scan_stacked_blocks_and_bfloat16_leaves(tmp_path):
    """bfloat16 is what the file holds: the model is that of the rounded weights."""
    model = load_model(BIG_VISION)
    for variable in model.weights:
        variable.assign(np.asarray(variable.numpy(), ml_dtypes.bfloat16).astype(np.float32))
    save(model, tmp_path / "scan.npz", "big_vision_scan")
    raw = {
        name: array.astype(ml_dtypes.bfloat16).view("V2")
        for name, array in tensors_of(tmp_path / "scan.npz").items()
    }
    assert raw["params/Transformer/encoderblock/LayerNorm_0/scale"].shape[0] == 2
    np.savez(tmp_path / "bfloat16.npz", **raw)
    pixels, _ = stored(BIG_VISION)
    assert np.array_equal(run(load_model(tmp_path / "bfloat16.npz"), pixels), run(model, pixels))


def test_older_big_vision_names(tmp_path):
    tensors = {
        name.replace("MAPHead_0/", "").replace("params/pos_e", "params/Transformer/pos_e"): array
        for name, array in tensors_of(BIG_VISION).items()
    }
    assert reproduces(write(tmp_path / "x.npz", tensors), BIG_VISION)


def test_raw_names_of_deit3_and_dinov2(tmp_path):
    """Registers beside a table for class token and patches; LayerScale as gamma_1, gamma_2."""
    fixture = FOLDER / "timm_layer_scale.safetensors"
    tensors = {
        f"module.{name.replace('.ls1.gamma', '.gamma_1').replace('.ls2.gamma', '.gamma_2')}": array
        for name, array in tensors_of(fixture).items()
    }
    path = write(tmp_path / "x.safetensors", tensors)
    # timm calls LayerScale so in the models with rotary positions, whose other tensors are these.
    with pytest.raises(UserError, match="rotary positions"):
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
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_size": 32}, "belongs to another model"),
        ({"num_attention_heads": "two"}, "num_heads"),
        ({"num_attention_heads": 5}, "divisor of width"),
    ):
        (tmp_path / "x" / "config.json").write_text(json.dumps(settings | wrong))
        with pytest.raises(UserError, match=said):
            open_source(tmp_path / "x")


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


def test_a_new_head_starts_from_zero_and_says_so(caplog):
    path = FOLDER / "vit_jax_token_prelogits_published_names.npz"
    pixels, _ = stored(path)
    with caplog.at_level(logging.WARNING):
        model = load_model(path, num_classes=3)
    assert "7 classes and the tanh layer before it is replaced by one for 3" in caplog.text
    assert config_of(model).representation_size == 0
    assert np.array_equal(run(model, pixels), np.zeros((2, 3)))
    assert load_model(path, num_classes=7).output.shape == (None, 7)


def test_without_classes_it_returns_the_representation():
    path = FOLDER / "timm_distilled.safetensors"
    pixels, _ = stored(path)
    whole = load_model(path, num_heads=2)
    model = load_model(path, num_heads=2, num_classes=0)
    names = ("pool", "distillation_pool")
    tokens = keras.Model(whole.input, [whole.get_layer(name).output for name in names])
    first, second = map(keras.ops.convert_to_numpy, tokens(pixels))
    # As in timm, whose own answer is the fixture timm_distilled_no_head.
    assert np.array_equal(run(model, pixels), (first + second) / 2)


def test_another_image_and_patch_size():
    model = load_model(FLAX, image_size=(48, 64))
    assert config_of(model).grid == (6, 8)
    table = model.get_layer("patch_encoder").position_embedding
    assert table.shape == (1, 49, 48)
    finer = load_model(FLAX, patch_size=16)
    assert config_of(finer).image_size == (64, 64)
    # Twice the pixels in patches of twice the size: nearly the tokens, and the logits, of before.
    pixels, logits = stored(FLAX)
    smooth = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2)
    assert np.abs(run(finer, smooth) - logits).max() < 0.5 * np.abs(logits).max()
    with pytest.raises(UserError, match="Did you mean bilinear"):
        load_model(FLAX, resample="bilinea")


def test_not_a_number_is_counted(tmp_path):
    tensors = tensors_of(FLAX)
    tensors["head/bias"] = tensors["head/bias"].copy()
    tensors["head/bias"][:2] = np.nan, np.inf
    with pytest.warns(UserWarning, match="2 weights in 1 variables are NaN or infinite"):
        load_model(write(tmp_path / "x.npz", tensors))


def test_what_is_missing_left_over_or_of_another_shape(tmp_path):
    tensors = tensors_of(FLAX)
    lost = tensors.pop("Transformer/encoderblock_1/LayerNorm_0/bias")
    tensors["Transformer/encoder_norm/bias"] = lost[:5]
    tensors["surprise"] = lost
    path = write(tmp_path / "x.npz", tensors)
    with pytest.raises(UserError) as error:
        load_model(path)
    text = str(error.value)
    assert "1 tensors are missing:\n    Transformer/encoderblock_1/LayerNorm_0/bias" in text
    assert "1 tensors are left over:\n    surprise" in text
    assert "Transformer/encoder_norm/bias: expected (48,), received (5,)" in text
    tensors["Transformer/encoderblock_1/LayerNorm_0/bias"] = lost
    tensors["Transformer/encoder_norm/bias"] = lost
    load_model(write(path, tensors), skip="surp*")


@pytest.mark.parametrize(
    ("fixture", "extra", "skip"),
    [
        (TIMM, {"rope.freqs": (4,)}, "rope.*"),
        (TIMM, {"norm_pre.weight": (24,), "norm_pre.bias": (24,)}, "norm_pre*"),
        (TIMM, {"rel_pos_bias.relative_position_bias_table": (9, 2)}, "rel_pos*"),
        (TIMM, {"blocks.0.attn.k_bias": (24,)}, "*k_bias"),
        (TIMM, {"blocks.1.mlp.norm.weight": (48,)}, "blocks.*.mlp.norm.*"),
        (TIMM, {}, "blocks.1.*"),
        (TIMM, {}, "norm.*"),
        (TIMM, {}, "pos_embed"),
        (TIMM, {}, "head.bias"),
        (HF, {"vit.encoder.layer.0.attention.relative_position_bias": (2,)}, "*relative*"),
        (FLAX, {"Transformer/encoderblock_0/MlpBlock_3/gate/kernel": (2,)}, "*gate*"),
    ],
)
def test_what_the_encoder_computes_with_cannot_be_skipped(tmp_path, fixture, extra, skip):
    tensors = tensors_of(fixture) | {name: np.ones(s, np.float32) for name, s in extra.items()}
    suffix = ".npz" if fixture == FLAX else ".safetensors"
    path = write(tmp_path / f"x{suffix}", tensors)
    with pytest.raises(UserError, match=r"skip: .* cannot be left out"):
        load_model(path, num_heads=2, skip=skip)


def test_skipping_is_not_advised_where_it_would_change_the_model(tmp_path):
    tensors = tensors_of(TIMM)
    tensors["blocks.0.attn.extra"] = np.ones(3, np.float32)
    with pytest.raises(UserError) as error:
        load_model(write(tmp_path / "more.safetensors", tensors), num_heads=2)
    assert "skip=" not in str(error.value)
    tensors = tensors_of(TIMM)
    del tensors["blocks.0.attn.proj.bias"]
    with pytest.raises(UserError) as error:
        load_model(write(tmp_path / "less.safetensors", tensors), num_heads=2)
    assert "skip=" not in str(error.value)
    tensors = tensors_of(TIMM) | {"decoder_blocks.0.norm1.weight": np.ones(3, np.float32)}
    path = write(tmp_path / "beside.safetensors", tensors)
    with pytest.raises(UserError, match=r"skip='decoder_blocks\.0\.norm1\.weight'"):
        load_model(path, num_heads=2)
    assert reproduces(path, TIMM, num_heads=2, skip="decoder_*")


def test_a_head_is_skipped_as_a_whole():
    assert config_of(load_model(TIMM, num_heads=2, skip="head.*")).num_classes == 0


def test_whole_numbers_are_not_weights(tmp_path):
    tensors = tensors_of(FLAX)
    tensors["head/bias"] = np.arange(7)
    np.savez(tmp_path / "x.npz", **tensors)
    with pytest.raises(UserError, match="expected numbers with a fraction, received int64"):
        load_model(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"a": (2,)}, "not a Vision Transformer"),
        ({"embedding/kernel": (4, 4, 3, 8)}, "expected a tensor"),
        ({"embedding/kernel": (4, 4)}, "expected 4 dimensions"),
        ({"patch_embed.proj.weight": (8, 3, 4, 4), "blocks.3.norm1.weight": (8,)}, "leave some"),
    ],
)
def test_files_of_something_else(tmp_path, names, said):
    tensors = {name: np.ones(shape, np.float32) for name, shape in names.items()}
    with pytest.raises(UserError, match=said):
        load_model(write(tmp_path / "x.npz", tensors))


def test_our_own_files(tmp_path):
    model = load_model(FLAX)
    model.save(tmp_path / "x.keras")
    pixels, logits = stored(FLAX)
    back = load_model(tmp_path / "x.keras", num_classes=0, image_size=64)
    assert config_of(back).grid == (8, 8)
    assert close(run(load_model(tmp_path / "x.keras"), pixels), logits)
    (tmp_path / "y.keras").write_bytes(b"no zip")
    with pytest.raises(UserError):
        load_model(tmp_path / "y.keras")


def test_loading_leaves_nothing_behind_in_keras():
    """A later scope of Keras would initialise again what it still remembers."""
    model = load_model(FLAX)
    assert all(np.isfinite(variable.numpy()).all() for variable in model.variables)
    with keras.StatelessScope():
        dense = keras.layers.Dense(2)
        dense.build((None, 3))
    assert np.any(dense.kernel.numpy())


@pytest.mark.parametrize(
    "config",
    [
        ViTConfig.of("Ti/16", image_size=32, depth=1),
        ViTConfig.of("R26+S/32", image_size=64, depth=1, num_classes=3),
        ViTConfig.of(
            "mu/16", image_size=32, pool="map", class_token=False, qk_norm=True, layer_scale=0.1
        ),
        ViTConfig.of(
            "mu/16", image_size=32, register_tokens=2, head_bias=None, representation_size=7
        ),
    ],
    ids=str,
)
def test_variables_are_known_without_keras(config):
    found = {v.path: tuple(v.shape) for v in vit(config).weights}
    assert found == shapes(config)
    assert sum(np.prod(shape, dtype=int) for shape in found.values()) == config.num_parameters


@pytest.mark.parametrize(
    ("changes", "dialect", "said"),
    [
        ({"gelu": "exact"}, "flax", "gelu=exact .always tanh there."),
        ({"norm_epsilon": 1e-5}, "big_vision", "norm_epsilon"),
        ({"pixel_mean": 0.4}, "flax", "pixel_mean"),
        ({"layer_scale": 0.1}, "flax", "LayerScale"),
        ({"qk_norm": True}, "hf", "QK-norm"),
        ({"register_tokens": 2}, "hf", "registers"),
        ({"pool": "average"}, "hf", "a pool other than"),
        ({"pool": "average"}, "big_vision", "a class token that is not what is read"),
        ({"pool": "map", "class_token": False}, "flax", "attention pooling"),
        ({"representation_size": 8}, "timm", "a tanh layer"),
        ({"representation_size": 8}, "hf", "a tanh layer"),
        ({"resnet_stages": (1,), "resnet_width": 32, "patch_size": 4}, "timm", "form of the"),
        ({"resnet_stages": (1,), "resnet_width": 32, "patch_size": 4}, "big_vision", "ResNet"),
    ],
)
def test_what_a_dialect_cannot_say_is_an_error(tmp_path, changes, dialect, said):
    config = ViTConfig.of("mu/16", **{"image_size": 32, "gelu": "tanh", **changes})
    path = tmp_path / ("x" if dialect in ("hf", "timm") else "x.npz")
    with pytest.raises(UserError, match=said):
        save_arrays(config, {}, path, dialect)
    assert not path.exists()


def test_a_loss_that_is_accepted(tmp_path):
    model = vit(ViTConfig.of("mu/16", image_size=32, gelu="exact"))
    save(model, tmp_path / "x.npz", "flax", accept="gelu")
    assert config_of(load_model(tmp_path / "x.npz")).gelu == "tanh"
    with pytest.raises(UserError, match="unknown loss to accept"):
        save(model, tmp_path / "x.npz", "flax", accept=("everything",))
    with pytest.raises(UserError, match="can express every field; received 'gelu'"):
        save(model, tmp_path / "x.safetensors", "timm", accept="gelu")
    with pytest.raises(UserError, match="unknown dialect"):
        save(model, tmp_path / "x.npz", "flux")
    with pytest.raises(UserError, match="is written to a"):
        save(model, tmp_path / "x.safetensors", "flax")


@pytest.mark.parametrize(
    "changes",
    [
        {"position": "sincos2d"},
        {"position": "none"},
        {"class_token_in_positions": False},
        {"head_bias": None},
        {"register_tokens": 2, "register_tokens_in_positions": True},
        {"register_tokens": 2},
    ],
    ids=str,
)
def test_the_same_function_in_another_form(tmp_path, changes):
    """Exact rewritings: positions written out, tokens that take their positions along."""
    config = ViTConfig.of("mu/16", image_size=32, gelu="tanh", num_classes=4, **changes)
    model = vit(config)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.standard_normal(variable.shape, dtype=np.float32))
    pixels = rng.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = run(model, pixels)
    written = 0
    for dialect, name in (
        ("flax", "x.npz"),
        ("big_vision", "y.npz"),
        ("timm", "z.safetensors"),
        ("hf", "w"),
    ):
        try:
            save(model, tmp_path / name, dialect)
        except UserError:
            assert config.register_tokens
            continue
        written += 1
        back = load_model(tmp_path / name, image_size=32)
        assert np.array_equal(run(back, pixels), expected), dialect
    assert written == (1 if config.register_tokens else 4)
