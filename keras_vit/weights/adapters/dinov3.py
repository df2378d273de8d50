# SPDX-License-Identifier: MIT
"""DINOv3 of Hugging Face transformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    common_json,
    patch_projection,
    qkv_bias,
)
from keras_vit.weights.config_files import Facts
from keras_vit.weights.formats import Spec
from keras_vit.weights.infer import Tensors, heads
from keras_vit.weights.table import (
    Rule,
    optional,
    row,
    torch_dense,
    torch_heads_in,
    torch_heads_out,
    torch_norm,
)

_BLOCK = "layer.{block}"
_ATTENTION = "block_{block}/attention"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embeddings"),
    row("patch_encoder/class_embedding", "embeddings.cls_token"),
    row("patch_encoder/register_embedding", "embeddings.register_tokens"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.norm1"),
    *torch_heads_in(_ATTENTION, ("query",), f"{_BLOCK}.attention.q_proj"),
    *torch_heads_in(_ATTENTION, ("key",), f"{_BLOCK}.attention.k_proj"),
    *torch_heads_in(_ATTENTION, ("value",), f"{_BLOCK}.attention.v_proj"),
    # Attention and MLP can be without biases independently; ours have all or none.
    *optional(torch_heads_out(_ATTENTION, f"{_BLOCK}.attention.o_proj")),
    row("block_{block}/attention_scale/gamma", f"{_BLOCK}.layer_scale1.lambda1"),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.norm2"),
    *optional(torch_dense("block_{block}/mlp/gate", f"{_BLOCK}.mlp.gate_proj")),
    *optional(torch_dense("block_{block}/mlp/hidden", f"{_BLOCK}.mlp.up_proj")),
    *optional(torch_dense("block_{block}/mlp/output_projection", f"{_BLOCK}.mlp.down_proj")),
    row("block_{block}/mlp_scale/gamma", f"{_BLOCK}.layer_scale2.lambda1"),
    *torch_norm("encoder_norm", "norm"),
)


class Dinov3(HuggingFace):
    """Rotary positions turn the patches' queries and keys; there is no class with a head."""

    name = "hf_dinov3"
    kinds = {
        "dinov3_vit": {
            "num_attention_heads": 6,
            "layer_norm_eps": 1e-5,
            "rope_theta": 100.0,
            "layerscale_value": 1.0,
        }
    }
    dialects = {"hf_dinov3": _RULES}
    landmarks = ("embeddings.patch_embeddings.weight",)
    beside = ("embeddings.mask_token",)
    older = ((r"model\.(layer\..*)", r"\1"),)  # modules in memory
    says = {
        "rotary": ("dinov3",),
        "gated_mlp": (True,),
        "activation": ("quick_gelu", "silu", "relu"),
        "qkv_bias": ("query_value", "none"),
        "dense_bias": (False,),
    }
    tableless = ("none",)
    cannot = {
        "a head": lambda c: c.num_classes,
        "a pool other than the class token": lambda c: c.pool != "token",
        "a model without rotary positions": lambda c: c.rotary == "none",
        "positions that are added to the tokens": lambda c: c.position != "none",
        "a distillation token": lambda c: c.distillation_token,
        "a model without LayerScale": lambda c: c.layer_scale is None,
        "QK-norm": lambda c: c.qk_norm,
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "a tanh layer after the class token": lambda c: c.representation_size > 0,
    }

    def unused(self, specs: Mapping[str, Spec]) -> set[str]:
        # Without registers, transformers writes a tensor of none.
        return {n for n in ("embeddings.register_tokens",) if n in specs and not specs[n].size}

    def described(self, config: Settings, source: str) -> Facts:
        facts = super().described(config, source)
        settings = facts["settings"]
        told = {"rotary_temperature": "rope_theta", "layer_scale": "layerscale_value"}
        return {**facts, **{ours: settings[theirs] for ours, theirs in told.items()}}

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        raise UserError(
            f"{tensors.source}: nothing tells the periods of its rotary positions, its heads and "
            "its activation. Put its config.json next to it."
        )

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("embeddings.patch_embeddings.weight", 4)
        registers = "embeddings.register_tokens"
        biases = (f"layer.0.attention.{part}_proj.bias" for part in "qkv")
        dense_biases = ("layer.0.attention.o_proj.bias", "layer.0.mlp.down_proj.bias")
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"layer\.(\d+)\."),
            "mlp_dim": tensors.shape("layer.0.mlp.down_proj.weight", 2)[1],
            "num_heads": heads(width, None, facts, tensors.source),
            "num_classes": 0,
            "register_tokens": tensors.shape(registers, 3)[1] if registers in tensors else 0,
            "gated_mlp": "layer.0.mlp.gate_proj.weight" in tensors,
            "layer_scale": facts["layer_scale"],
            "qkv_bias": qkv_bias(tensors, *biases),
            "dense_bias": any(name in tensors for name in dense_biases),
            "position": "none",
            "rotary": "dinov3",
            "rotary_temperature": facts["rotary_temperature"],
            "position_rows": None,
            "prefix_tokens": 0,
        }

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return config.class_token_in_positions, config.register_tokens_in_positions

    def idle(self, config: ViTConfig) -> dict[str, np.ndarray]:
        found = {"embeddings.mask_token": np.zeros((1, 1, config.width), np.float32)}
        if not config.register_tokens:
            found["embeddings.register_tokens"] = np.zeros((1, 0, config.width), np.float32)
        return found

    def config_json(self, config: ViTConfig) -> Settings:
        settings = common_json(config)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            del settings[name]
        return {
            "architectures": ["DINOv3ViTModel"],
            "model_type": "dinov3_vit",
            **settings,
            "attention_dropout": config.attention_dropout,
            "drop_path_rate": config.stochastic_depth,
            "num_register_tokens": config.register_tokens,
            "rope_theta": config.rotary_temperature,
            "layerscale_value": config.layer_scale,
            "use_gated_mlp": config.gated_mlp,
            "query_bias": config.qkv_bias != "none",
            "key_bias": config.qkv_bias == "all",
            "value_bias": config.qkv_bias != "none",
            "proj_bias": config.dense_bias,
            "mlp_bias": config.dense_bias,
        }
