# SPDX-License-Identifier: MIT
"""The files that DINOv2, DINOv3 and MAE were released in, made of those of transformers."""

import re

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights import load_model, open_source
from tests.weights.fixtures import HF, VISION, close, run, stored, tensors_of, write

# Names of transformers and of the releases, as transformers' own conversion pairs them.
NAMES = (
    (r"^(dinov2|dinov2_with_registers|vit)\.", ""),
    (r"embeddings\.patch_embeddings(\.projection)?", "patch_embed.proj"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.", ""),
    (r"^encoder\.layer\.|^layer\.", "blocks."),
    (r"attention\.(output\.dense|o_proj)", "attn.proj"),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"^layernorm\.", "norm."),
    (r"intermediate\.dense|up_proj", "mlp.fc1"),
    (r"(?<!attn\.)output\.dense|down_proj", "mlp.fc2"),
    (r"mlp\.mlp", "mlp"),
    (r"weights_in", "w12"),
    (r"weights_out", "w3"),
)
PARTS = r"attention\.(?:attention\.)?(query|key|value|[qkv]_proj)\.(weight|bias)"


def released(path):
    """The tensors of a fixture as its own code names them."""
    found, joined = {}, {}
    for name, array in tensors_of(path).items():
        if name.startswith("classifier"):
            continue
        for theirs, raw in NAMES:
            name = re.sub(theirs, raw, name)
        if match := re.search(PARTS, name):
            target = name.replace(match[0], f"attn.qkv.{match[2]}")
            joined.setdefault(target, {})[match[1][0]] = array
        else:
            found[name] = array
    for name, parts in joined.items():
        zeros = np.zeros_like(parts["q"])
        found[name] = np.concatenate([parts["q"], parts.get("k", zeros), parts["v"]])
    return found


def dinov3():
    """The release of the fixture, with its periods and masks, which hide biases of keys."""
    tensors = released(VISION / "dinov3")
    tensors["storage_tokens"] = tensors.pop("register_tokens")
    tensors["rope_embed.periods"] = np.float32(100) ** (np.arange(2, dtype=np.float32) / 2)
    mask = np.repeat(np.float32([1, 0, 1]), 16)
    for block in range(2):
        tensors[f"blocks.{block}.attn.qkv.bias"] += 7 * (1 - mask)
        tensors[f"blocks.{block}.attn.qkv.bias_mask"] = mask
    return tensors


def arrays_of(path, **options):
    config, arrays = open_source(path, **options).fitted()
    return config, dict(arrays)


def test_dinov2_computes_what_transformers_computes(tmp_path):
    path = write(tmp_path / "x.safetensors", released(VISION / "dinov2_swiglu"))
    with pytest.raises(UserError, match="num_heads="):
        open_source(path)
    source = open_source(path, num_heads=2)
    assert (source.dialect, source.config.activation) == ("dinov2_release", "silu")
    pixels, outputs = stored(VISION / "dinov2_swiglu")
    assert close(run(load_model(path, num_heads=2), pixels), outputs)


@pytest.mark.parametrize("prefix", ["", "teacher.backbone."])
def test_blocks_in_chunks_are_counted_on(prefix, tmp_path):
    tensors = released(VISION / "dinov2_registers")
    chunked = {
        prefix + re.sub(r"^blocks\.(\d)\.", r"blocks.\1.\1.", name): array
        for name, array in tensors.items()
    }
    chunked |= {"teacher.dino_head.mlp.0.weight": np.ones((4, 4), np.float32)}
    config, arrays = arrays_of(write(tmp_path / "x.safetensors", chunked), num_heads=2)
    expected, wanted = arrays_of(VISION / "dinov2_registers", num_classes=0)
    assert config.register_tokens == expected.register_tokens == 2
    assert config.norm_epsilon == expected.norm_epsilon
    assert all(np.array_equal(arrays[path], wanted[path]) for path in wanted)


def test_dinov3_computes_what_transformers_computes(tmp_path, caplog):
    path = write(tmp_path / "x.safetensors", dinov3())
    source = open_source(path)
    expected = open_source(VISION / "dinov3").config
    assert source.dialect == "dinov3_release"
    for field in ("num_heads", "rotary", "rotary_temperature", "qkv_bias", "norm_epsilon"):
        assert getattr(source.config, field) == getattr(expected, field), field
    pixels, outputs = stored(VISION / "dinov3")
    assert close(run(load_model(path, image_size=16), pixels), outputs)
    assert "rounded" not in caplog.text


def test_periods_are_compared_with_those_of_their_base(tmp_path, caplog):
    tensors = dinov3()
    tensors["rope_embed.periods"] *= np.float32(1.001)  # as bfloat16 rounds them
    open_source(write(tmp_path / "x.safetensors", tensors), image_size=16).check()
    assert "rounded to 8 bits" in caplog.text
    tensors["rope_embed.periods"] *= np.float32(2)
    with pytest.raises(UserError, match="expected those of the base 100"):
        open_source(write(tmp_path / "x.safetensors", tensors), image_size=16).check()


def test_a_gate_and_what_it_multiplies_in_tensors_of_their_own(tmp_path):
    tensors = dinov3()
    for block in range(2):
        for leaf in ("weight", "bias"):
            tensors[f"blocks.{block}.mlp.w3.{leaf}"] = tensors.pop(f"blocks.{block}.mlp.fc2.{leaf}")
            second = tensors.pop(f"blocks.{block}.mlp.fc1.{leaf}")
            tensors[f"blocks.{block}.mlp.w1.{leaf}"] = 2 * second
            tensors[f"blocks.{block}.mlp.w2.{leaf}"] = second
    path = write(tmp_path / "x.safetensors", tensors)
    config, arrays = arrays_of(path, image_size=16)
    assert (config.gated_mlp, config.activation) == (True, "silu")
    gate = tensors["blocks.1.mlp.w1.weight"]
    assert np.array_equal(arrays["block_01/mlp/gate/kernel"], gate.T)


def test_the_decoder_of_mae_is_left_out(tmp_path):
    tensors = released(HF)
    whole = tensors | {
        "mask_token": np.ones((1, 1, 24), np.float32),
        "decoder_embed.weight": np.ones((8, 24), np.float32),
        "decoder_blocks.0.norm1.weight": np.ones(8, np.float32),
        "decoder_pos_embed": np.ones((1, 17, 8), np.float32),
    }
    source = open_source(write(tmp_path / "x.safetensors", whole), num_heads=2)
    assert (source.dialect, source.config.norm_epsilon) == ("mae_release", 1e-6)
    assert source.config.num_classes == 0
    _, wanted = arrays_of(HF, num_classes=0)
    arrays = dict(source.arrays())
    assert all(np.array_equal(arrays[path], wanted[path]) for path in wanted)
    # The encoder alone has the names of timm's files and no others.
    path = write(tmp_path / "y.safetensors", tensors)
    assert open_source(path, num_heads=2, activation="gelu").dialect == "timm"


def test_heads_follow_from_the_published_sizes(tmp_path):
    from keras_vit.weights.adapters.releases import Dinov2Release, MaeRelease

    for family in (Dinov2Release, MaeRelease):
        for (width, depth), heads in family.head_counts.items():
            assert width // heads in (64, 80), (width, depth)
