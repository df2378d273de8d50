# SPDX-License-Identifier: MIT
"""AIMv2 of Hugging Face transformers."""

from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    common_json,
    patch_projection,
    refuse,
)
from keras_vit.weights.config_files import Facts
from keras_vit.weights.infer import Tensors, heads
from keras_vit.weights.table import (
    UNBATCHED,
    Rule,
    row,
    torch_dense,
    torch_heads_in,
    torch_heads_out,
)

_BLOCK = "encoder.layers.{block}"
_ATTENTION = "block_{block}/attention"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embed"),
    row("patch_encoder/patch_norm/gamma", "embeddings.rms_norm.weight"),
    row("patch_encoder/position_embedding", "embeddings.position_embedding.weight", UNBATCHED),
    row("block_{block}/attention_norm/gamma", f"{_BLOCK}.rms_norm1.weight"),
    *torch_heads_in(_ATTENTION, ("query",), f"{_BLOCK}.attention.q_proj"),
    *torch_heads_in(_ATTENTION, ("key",), f"{_BLOCK}.attention.k_proj"),
    *torch_heads_in(_ATTENTION, ("value",), f"{_BLOCK}.attention.v_proj"),
    *torch_heads_out(_ATTENTION, f"{_BLOCK}.attention.out_proj"),
    row("block_{block}/mlp_norm/gamma", f"{_BLOCK}.rms_norm2.weight"),
    *torch_dense("block_{block}/mlp/gate", f"{_BLOCK}.ffn.gate_proj"),
    *torch_dense("block_{block}/mlp/hidden", f"{_BLOCK}.ffn.up_proj"),
    *torch_dense("block_{block}/mlp/output_projection", f"{_BLOCK}.ffn.down_proj"),
    row("encoder_norm/gamma", "rms_norm.weight"),
)
_USUAL = {
    "num_attention_heads": 8,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "qkv_bias": False,
    "mlp_bias": False,
    "is_native": False,
}


class Aimv2(HuggingFace):
    """RMS norms, gated MLPs, no biases, and no class token: the average is the representation."""

    name = "hf_aimv2"
    kinds = {"aimv2_vision_model": _USUAL, "aimv2": _USUAL}
    towers = ("aimv2",)
    dialects = {"hf_aimv2": _RULES}
    landmarks = ("embeddings.patch_embed.weight",)
    prefixes = ("", "vision_model.")
    beside = ("*position_ids", "text_model.*", "*_projection.weight", "logit_scale")
    says = {
        "patch_norm": (True,),
        "gated_mlp": (True,),
        "norm": ("rms",),
        "activation": ("quick_gelu", "silu", "relu"),
        "qkv_bias": ("none",),
        "dense_bias": (False,),
    }
    cannot = {
        "a head": lambda c: c.num_classes,
        "a class token": lambda c: c.class_token,
        "registers": lambda c: c.register_tokens > 0,
        "a pool other than the average": lambda c: c.pool != "average",
        "a norm after the average": lambda c: c.norm_after_pool,
        "LayerNorm": lambda c: c.norm != "rms",
        "patches that are not normalised": lambda c: not c.patch_norm,
        "an MLP without a gate": lambda c: not c.gated_mlp,
        "biases in a part of the attention or MLP": lambda c: (
            (c.qkv_bias != "none") != c.dense_bias
        ),
        "images that are not square": lambda c: (
            c.image_size[0] != c.image_size[1] or c.patch_size[0] != c.patch_size[1]
        ),
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "a tanh layer": lambda c: c.representation_size > 0,
    }

    def described(self, config: Settings, source: str) -> Facts:
        facts = super().described(config, source)
        settings = facts["settings"]
        refuse(settings, {"is_native": "sines as positions, in a form for any size"}, source)
        if bool(settings["qkv_bias"]) != bool(settings["mlp_bias"]):
            raise UserError(
                f"{source}: qkv_bias and mlp_bias differ; the model here has biases in both or in "
                "none."
            )
        return {**facts, "norm_epsilon": settings["rms_norm_eps"]}

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("embeddings.patch_embed.weight", 4)
        if any(name.startswith("head.") for name in tensors.specs):
            raise UserError(
                f"{tensors.source}: its head is a pool of attention without queries of its own, "
                "which the model here has not. Leave it out with skip='*head.*': the average of "
                "the patches is the representation then."
            )
        biases = "encoder.layers.0.attention.out_proj.bias" in tensors
        rows = tensors.shape("embeddings.position_embedding.weight", 2)[0]
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "patch_norm": True,
            "width": width,
            "depth": tensors.count(r"encoder\.layers\.(\d+)\."),
            "mlp_dim": tensors.shape("encoder.layers.0.ffn.up_proj.weight", 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "num_classes": 0,
            "class_token": False,
            "pool": "average",
            "norm": "rms",
            "gated_mlp": True,
            "qkv_bias": "all" if biases else "none",
            "dense_bias": biases,
            "position_rows": rows,
            "prefix_tokens": 0,
        }

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return False, False

    def config_json(self, config: ViTConfig) -> Settings:
        settings = common_json(config)
        for name in ("layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob"):
            del settings[name]
        return {
            "architectures": ["Aimv2VisionModel"],
            "model_type": "aimv2_vision_model",
            **settings,
            "attention_dropout": config.attention_dropout,
            "rms_norm_eps": config.norm_epsilon,
            "qkv_bias": config.qkv_bias == "all",
            "mlp_bias": config.dense_bias,
            "use_head": False,
            "is_native": False,
        }

    def at_home(self, outputs: Any) -> Any:
        return outputs.last_hidden_state.mean(1)
