# SPDX-License-Identifier: MIT
"""google-research/vision_transformer: the official `.npz` files, and what its code saves today."""

import dataclasses
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.adapter import Adapter, Taps
from keras_vit.weights.config_files import Facts
from keras_vit.weights.infer import Tensors, first_pool, head
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    CHANNELS_LAST,
    PATCHES_FLAX,
    Rule,
    flax_dense,
    flax_norm,
    renamed,
    row,
)

if TYPE_CHECKING:
    from keras_vit.weights.source import Source


def attention(ours: str, theirs: str) -> list[Rule]:
    """Flax's attention; its kernels have our shapes."""
    parts = {"query": "query", "key": "key", "value": "value", "attention_output": "out"}
    return [
        rule
        for part, name in parts.items()
        for rule in flax_dense(f"{ours}/{part}", f"{theirs}/MultiHeadDotProductAttention_0/{name}")
    ]


def mlp(ours: str, theirs: str) -> list[Rule]:
    """The two layers of an `MlpBlock`."""
    return [
        *flax_dense(f"{ours}/hidden", f"{theirs}/MlpBlock_0/Dense_0"),
        *flax_dense(f"{ours}/output_projection", f"{theirs}/MlpBlock_0/Dense_1"),
    ]


_OUR_UNIT, _UNIT = "resnet_stem/block{stage}_unit{unit}", "block{stage}/unit{unit}"
_STEM: list[Rule] = [
    row("resnet_stem/root_conv/kernel", "conv_root/kernel"),
    *flax_norm("resnet_stem/root_norm", "gn_root"),
    *[
        rule
        for part in ("1", "2", "3", "_proj")
        for rule in [
            row(f"{_OUR_UNIT}/conv{part}/kernel", f"{_UNIT}/conv{part}/kernel"),
            *flax_norm(f"{_OUR_UNIT}/norm{part}", f"{_UNIT}/gn{part}"),
        ]
    ],
]

# What vision_transformer and big_vision have in common, under Flax Linen's automatic names.
TRANSFORMER: list[Rule] = [
    row("patch_encoder/projection/kernel", "embedding/kernel", PATCHES_FLAX),
    row("patch_encoder/projection/bias", "embedding/bias"),
    row("patch_encoder/class_embedding", "cls"),
    *flax_norm("block_{block}/attention_norm", "Transformer/encoderblock_{block}/LayerNorm_0"),
    *attention("block_{block}/attention", "Transformer/encoderblock_{block}"),
    *flax_norm("block_{block}/mlp_norm", "Transformer/encoderblock_{block}/LayerNorm_1"),
    *mlp("block_{block}/mlp", "Transformer/encoderblock_{block}"),
    *flax_norm("encoder_norm", "Transformer/encoder_norm"),
    *flax_dense("pre_logits", "pre_logits"),
    *flax_dense("head", "head"),
]
_TABLE = "Transformer/posembed_input/pos_embedding"
_LINEN: tuple[Rule, ...] = (
    *_STEM,
    row("patch_encoder/position_embedding", _TABLE),
    *TRANSFORMER,
)
_GROUP_NORM = re.compile(r"(^|/)gn(\d|_root|_proj)/")


def _published() -> tuple[Rule, ...]:
    """The names before Flax Linen, in which the official files were published."""
    rules = renamed(
        _LINEN,
        ("LayerNorm_1", "LayerNorm_2"),
        ("MultiHeadDotProductAttention_0", "MultiHeadDotProductAttention_1"),
        ("MlpBlock_0", "MlpBlock_3"),
    )
    return tuple(
        dataclasses.replace(rule, transform=CHANNELS_LAST)
        if _GROUP_NORM.search(rule.theirs)
        else rule
        for rule in rules
    )


class Flax(Adapter):
    """Positions inside the encoder, with a row for the class token; hybrids."""

    name = "flax"
    dialects = {"flax": _LINEN, "flax_published": _published()}
    landmarks = ("embedding/kernel",)
    # Where the encoder of an image can lie in what a training program saved.
    prefixes = ("", "params/", "params/img/", "img/", "opt/target/", "opt/target/img/")
    # The state of the optimizer; the text tower and temperature of models with two towers.
    beside = ("opt/*", "extra/*", "params/txt/*", "params/t", "params/b", "txt/*", "t", "b")
    older = (
        (r"Transformer/pos_embedding", "pos_embedding"),
        (r"(probe|(?:MlpBlock|LayerNorm|MultiHeadDotProductAttention)_0/.*)", r"MAPHead_0/\1"),
    )
    resampling = Resampling("zoom")
    written_to = (".npz",)
    always = {
        "activation": "gelu_tanh",
        "norm_epsilon": 1e-6,
        "pixel_mean": (0.5,),
        "pixel_std": (0.5,),
    }
    cannot = {
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "register tokens": lambda c: c.register_tokens > 0,
        "a distillation token": lambda c: c.distillation_token,
        "a norm after the pool": lambda c: c.norm_after_pool,
        "a class token that is not what is read": lambda c: c.class_token and c.pool != "token",
        "attention pooling": lambda c: c.pool == "map",
        "timm's form of the ResNet stem": lambda c: (
            c.resnet_stages is not None and c.resnet_form == "timm"
        ),
    }
    reference = "flax"

    def recognise(self, names: Collection[str]) -> str | None:
        prefix = super().recognise(names)
        if prefix is None:
            return None
        encoder = f"{prefix}Transformer/"
        published = (n.startswith(encoder) and "Attention_1/" in n for n in names)
        return prefix if prefix + _TABLE in names or any(published) else None

    def dialect_of(self, names: Collection[str]) -> str:
        linen = any("MultiHeadDotProductAttention_0" in name for name in names)
        return "flax" if linen and _TABLE in names else "flax_published"

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        # *patch_size, channels, width
        *patch_size, channels, width = tensors.shape("embedding/kernel", 4)
        stacked = "Transformer/encoderblock/LayerNorm_0/scale" in tensors
        if stacked:
            depth = tensors.shape("Transformer/encoderblock/LayerNorm_0/scale", 2)[0]
            block = "Transformer/encoderblock"
        else:
            depth = tensors.count(r"Transformer/encoderblock_(\d+)/")
            block = "Transformer/encoderblock_0"
        published = f"{block}/MultiHeadDotProductAttention_1/query/kernel" in tensors
        query = f"{block}/MultiHeadDotProductAttention_{int(published)}/query/kernel"
        hidden = f"{block}/MlpBlock_{3 if published else 0}/Dense_0/kernel"
        table = next((name for name in (_TABLE, "pos_embedding") if name in tensors), None)
        pre_logits = "pre_logits/kernel"
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": depth,
            "num_heads": tensors.shape(query, 3 + stacked)[-2],
            "mlp_dim": tensors.shape(hidden, 2 + stacked)[-1],
            "class_token": "cls" in tensors,
            "class_token_in_positions": table != "pos_embedding",
            # big_vision's fixed positions have no table; official files always have one.
            "position": "learned" if table else ("none" if published else "sincos2d"),
            "pool": first_pool(tensors, "MAPHead_0/probe", "cls"),
            "representation_size": tensors.shape(pre_logits, 2)[1] if pre_logits in tensors else 0,
            "activation": "gelu_tanh",
            "norm_epsilon": 1e-6,
            "position_rows": tensors.shape(table, 3)[1] if table else None,
            "prefix_tokens": int("cls" in tensors and table != "pos_embedding"),
            **head(tensors, "head/kernel", "head/bias", outputs_first=False),
            **_stem_fields(tensors),
        }

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, config.register_tokens_in_positions

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        import flax
        import jax

        from keras_vit.weights.parity.flax_reference import run

        versions = {module.__name__: module.__version__ for module in (flax, jax)}
        return run(source, images), versions


def _stem_fields(tensors: Tensors) -> dict[str, Any]:
    if "conv_root/kernel" not in tensors:
        return {}
    _, _, channels, width = tensors.shape("conv_root/kernel", 4)
    stages = tensors.count(r"block(\d+)/unit")
    units = tuple(tensors.count(rf"block{stage + 1}/unit(\d+)/") for stage in range(stages))
    return {"channels": channels, "resnet_width": width, "resnet_stages": units}
