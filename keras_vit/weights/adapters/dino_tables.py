# SPDX-License-Identifier: MIT
"""The table that DINO's own code has, in which DINOv2, DINOv3 and MAE were released and TIPSv2 is
saved; and both forms of DINOv2's MLP, which has other names in each of them."""

from keras_vit.weights.adapters.hugging_face import patch_projection
from keras_vit.weights.table import (
    Rule,
    row,
    torch_dense,
    torch_gated,
    torch_heads_in,
    torch_heads_out,
    torch_norm,
)

BLOCK = "blocks.{block}"
ATTENTION, MLP = "block_{block}/attention", "block_{block}/mlp"
QKV = ("query", "key", "value")

# All but registers and the MLP.
ENCODER: tuple[Rule, ...] = (
    *patch_projection("patch_embed.proj"),
    row("patch_encoder/class_embedding", "cls_token"),
    row("patch_encoder/position_embedding", "pos_embed"),
    *torch_norm("block_{block}/attention_norm", f"{BLOCK}.norm1"),
    *torch_heads_in(ATTENTION, QKV, f"{BLOCK}.attn.qkv"),
    *torch_heads_out(ATTENTION, f"{BLOCK}.attn.proj"),
    row("block_{block}/attention_scale/gamma", f"{BLOCK}.ls1.gamma"),
    *torch_norm("block_{block}/mlp_norm", f"{BLOCK}.norm2"),
    row("block_{block}/mlp_scale/gamma", f"{BLOCK}.ls2.gamma"),
    *torch_norm("encoder_norm", "norm"),
)


def registers(theirs: str) -> Rule:
    """The tokens between the class token and the patches."""
    return row("patch_encoder/register_embedding", theirs)


def plain_mlp(first: str, last: str) -> tuple[Rule, ...]:
    """An MLP of two layers, under their names."""
    return (
        *torch_dense(f"{MLP}/hidden", first),
        *torch_dense(f"{MLP}/output_projection", last),
    )


def gated_mlp(joined: str, last: str) -> tuple[Rule, ...]:
    """A gated one whose first two layers are one tensor."""
    return (*torch_gated(MLP, joined), *torch_dense(f"{MLP}/output_projection", last))
