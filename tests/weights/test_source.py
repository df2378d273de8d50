# SPDX-License-Identifier: MIT
"""Which tensors of a file are the model: what is missing, left over, skipped, or of another."""

import numpy as np
import pytest

from keras_vit import UserError, config_of
from keras_vit.weights import load_model
from tests.weights.fixtures import (
    FLAX,
    HF,
    TIMM,
    reproduces,
    tensors_of,
    write,
)


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
