# SPDX-License-Identifier: MIT
"""The names of timm's tensors, in the spelling of each of its classes.

timm has several Vision Transformers: `VisionTransformer` (with DeiT and the hybrids), `Eva` (EVA,
DINOv3, Perception Encoder, rotary positions), `Beit` and `VisionTransformerRelPos`. They name most
tensors alike, and a few otherwise. What a model has decides which of them it can be, and that
decides its names.
"""

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.table import (
    CONVOLUTION,
    DENSE,
    PATCHES_TORCH,
    Rule,
    Transform,
    reordered,
    row,
    torch_dense,
    torch_heads_in,
    torch_heads_out,
    torch_norm,
)

_QKV = ("query", "key", "value")


def kind_of(config: ViTConfig) -> str:
    """The class of timm that a model is written as."""
    if config.relative_position_bias:
        return "Beit" if config.qkv_bias == "query_value" else "VisionTransformerRelPos"
    own_pool = config.pool_heads or config.pool_mlp_dim
    if config.rotary != "none" or config.qkv_bias == "query_value" or own_pool:
        return "Eva"
    return "VisionTransformer"


def rotary_layout(config: ViTConfig) -> str:
    """Which channels of a head timm turns together: a half with the other ("halves") or neighbours
    ("pairs"), and whether the columns come first.

    Published models with axial positions have the columns first if they have no reference grid
    (RoPE-ViT) or a norm before the blocks (Perception Encoder).
    """
    if config.rotary == "dinov3":
        return "halves"
    swapped = config.rotary == "mixed" or config.embedding_norm or not config.rotary_reference_grid
    return "pairs, x first" if swapped else "pairs"


def rotary_order(config: ViTConfig) -> np.ndarray:
    """For each channel of a head with us, its place in timm.

    Ours are two halves that are turned together; the first quarter of each is turned by the row,
    the second by the column.
    """
    channels = np.arange(config.head_dim)
    layout = rotary_layout(config)
    if config.rotary == "none" or layout == "halves":
        return channels
    pairs = channels.reshape(-1, 2)  # (d / 2, 2)
    if config.rotary == "axial" and layout == "pairs, x first":
        pairs = np.roll(pairs, len(pairs) // 2, axis=0)
    return pairs.T.reshape(-1)


def rules(config: ViTConfig) -> tuple[Rule, ...]:
    """The table of a model."""
    kind = kind_of(config)
    return (
        *_STEM,
        *_EMBEDDINGS,
        *_attention(config, kind),
        *_mlp(config, kind),
        # `Eva` and `Beit` call these gamma_1 and gamma_2.
        row("block_{block}/attention_scale/gamma", "blocks.{block}.ls1.gamma"),
        row("block_{block}/mlp_scale/gamma", "blocks.{block}.ls2.gamma"),
        *torch_norm("block_{block}/attention_norm", "blocks.{block}.norm1"),
        *torch_norm("block_{block}/mlp_norm", "blocks.{block}.norm2"),
        *torch_norm("encoder_norm", "{final_norm}"),
        *_POOL,
        *torch_dense("head", "head"),
        *torch_dense("distillation_head", "head_dist"),
    )


def _attention(config: ViTConfig, kind: str) -> list[Rule]:
    ours, theirs = "block_{block}/attention", "blocks.{block}.attn"
    relative = "rel_pos." if kind == "VisionTransformerRelPos" else ""
    found = [
        *torch_heads_out(ours, f"{theirs}.proj"),
        *torch_norm(f"{ours}/inner_norm", f"{theirs}.norm"),
        row(
            f"{ours}/relative_position_bias/table",
            f"{theirs}.{relative}relative_position_bias_table",
        ),
        Rule((f"{ours}/rotary/frequencies",), "rope.freqs", _FREQUENCIES, axis=1),
    ]
    for part, letter in (("query", "q"), ("key", "k")):
        for rule in torch_norm(f"{ours}/{part}_norm", f"{theirs}.{letter}_norm"):
            turned = reordered(rule.transforms[0], rotary_order)
            found.append(row(rule.ours[0], rule.theirs, turned))
    # EVA-02 from B on has three layers, and the other models of these classes have one.
    if config.gated_mlp and config.mlp_inner_norm and config.qkv_bias == "query_value":
        for part in _QKV:
            name = f"{theirs}.{part[0]}_proj"
            found += torch_heads_in(ours, (part,), name, order=rotary_order)
        return found
    kernel, bias = torch_heads_in(ours, _QKV, f"{theirs}.qkv", order=rotary_order)
    if config.qkv_bias != "query_value":
        return [*found, kernel, bias]
    query, _, value = bias.transforms
    return [
        *found,
        kernel,
        row(f"{ours}/query/bias", f"{theirs}.q_bias", query),
        row(f"{ours}/value/bias", f"{theirs}.v_bias", value),
    ]


def _mlp(config: ViTConfig, kind: str) -> list[Rule]:
    ours, theirs = "block_{block}/mlp", "blocks.{block}.mlp"
    found = [
        *torch_norm(f"{ours}/inner_norm", f"{theirs}.norm"),
        *torch_dense(f"{ours}/output_projection", f"{theirs}.fc2"),
    ]
    if not config.gated_mlp:
        return [*found, *torch_dense(f"{ours}/hidden", f"{theirs}.fc1")]
    if gate_apart(config, kind):
        return [
            *found,
            *torch_dense(f"{ours}/gate", f"{theirs}.fc1_g"),
            *torch_dense(f"{ours}/hidden", f"{theirs}.fc1_x"),
        ]
    return [
        *found,
        Rule((f"{ours}/gate/kernel", f"{ours}/hidden/kernel"), f"{theirs}.fc1.weight", DENSE),
        Rule((f"{ours}/gate/bias", f"{ours}/hidden/bias"), f"{theirs}.fc1.bias"),
    ]


def gate_apart(config: ViTConfig, kind: str) -> bool:
    """Whether a gated MLP has two layers in timm, `SwiGLU`, or one that makes both, `GluMlp`."""
    if kind == "Eva":
        return config.mlp_inner_norm or config.rotary == "dinov3"
    return config.norm == "rms" or kind == "Beit"


# (y, x) of a block <-> (x, y) of timm
_FREQUENCIES = Transform(lambda x, c: x[::-1], lambda x, c: x[::-1])
_EMBEDDINGS = (
    row("patch_encoder/projection/kernel", "patch_embed.proj.weight", PATCHES_TORCH),
    row("patch_encoder/projection/bias", "patch_embed.proj.bias"),
    *torch_norm("patch_encoder/patch_norm", "patch_embed.norm"),
    row("patch_encoder/class_embedding", "cls_token"),
    row("patch_encoder/distillation_embedding", "dist_token"),
    row("patch_encoder/register_embedding", "reg_token"),
    row("patch_encoder/position_embedding", "pos_embed"),
    *torch_norm("embedding_norm", "norm_pre"),
)
_POOL = (
    row("pool/probe", "attn_pool.latent"),
    *torch_heads_in("pool/attention", ("query",), "attn_pool.q", pool=True),
    *torch_heads_in("pool/attention", ("key", "value"), "attn_pool.kv", pool=True),
    *torch_heads_out("pool/attention", "attn_pool.proj", pool=True),
    *torch_norm("pool/mlp_norm", "attn_pool.norm"),
    *torch_dense("pool/mlp/hidden", "attn_pool.mlp.fc1"),
    *torch_dense("pool/mlp/output_projection", "attn_pool.mlp.fc2"),
)
_OUR_UNIT = "resnet_stem/block{stage}_unit{unit}"
_UNIT = "patch_embed.backbone.stages.{stage0}.blocks.{unit0}"
_STEM = (
    row("resnet_stem/root_conv/kernel", "{stem}.conv.weight", CONVOLUTION),
    *torch_norm("resnet_stem/root_norm", "{stem}.norm"),
    *[
        rule
        for ours, conv, norm in (
            ("1", "conv1", "norm1"),
            ("2", "conv2", "norm2"),
            ("3", "conv3", "norm3"),
            ("_proj", "downsample.conv", "downsample.norm"),
        )
        for rule in [
            row(f"{_OUR_UNIT}/conv{ours}/kernel", f"{_UNIT}.{conv}.weight", CONVOLUTION),
            *torch_norm(f"{_OUR_UNIT}/norm{ours}", f"{_UNIT}.{norm}"),
        ]
    ],
)
