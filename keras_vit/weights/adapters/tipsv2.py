# SPDX-License-Identifier: MIT
"""TIPSv2 of Hugging Face transformers: DINOv2's layers under names nearer to timm's."""

from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.adapters.dino_tables import (
    BLOCK,
    ENCODER,
    gated_mlp,
    plain_mlp,
    registers,
)
from keras_vit.weights.adapters.dinov2 import CANNOT, USUAL, swiglu_facts, swiglu_json
from keras_vit.weights.adapters.hugging_face import HuggingFace, Settings
from keras_vit.weights.binding import Binding, bind
from keras_vit.weights.config_files import Facts
from keras_vit.weights.infer import Tensors, heads
from keras_vit.weights.resample import Resampling

_MLP = plain_mlp(f"{BLOCK}.mlp.c_fc", f"{BLOCK}.mlp.c_proj")
_GATED = gated_mlp(f"{BLOCK}.mlp.w12", f"{BLOCK}.mlp.w3")
_USUAL = {**USUAL, "image_size": 448}


class Tipsv2(HuggingFace):
    """The encoder of images; its class token is the representation."""

    name = "hf_tipsv2"
    kinds = {"tipsv2_vision_model": _USUAL, "tipsv2": _USUAL}
    towers = ("tipsv2",)
    dialects = {"hf_tipsv2": (registers("register_tokens"), *ENCODER)}
    # timm's files have the other names as well, and these under others.
    landmarks = ("blocks.0.mlp.c_fc.weight", "blocks.0.mlp.w3.weight")
    prefixes = ("", "vision_encoder.")
    beside = ("*mask_token", "text_encoder.*", "temperature")
    resampling = Resampling("bilinear_antialias")
    says = {
        "gated_mlp": (True,),
        "activation": ("quick_gelu", "silu", "relu"),
        "qkv_bias": ("none",),
    }
    cannot = {
        **{what: test for what, test in CANNOT.items() if what != "an MLP of this size"},
        "a head": lambda c: c.num_classes,
        "a pool other than the class token": lambda c: c.pool != "token",
        "a gated MLP whose size is no multiple of 8": lambda c: c.gated_mlp and c.mlp_dim % 8,
    }

    def described(self, config: Settings, source: str) -> Facts:
        return swiglu_facts(super().described(config, source))

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("patch_embed.proj.weight", 4)
        gated = "blocks.0.mlp.w3.weight" in tensors
        last = "blocks.0.mlp.w3.weight" if gated else "blocks.0.mlp.c_proj.weight"
        # Without registers, transformers writes a tensor of none.
        registers = tensors.specs.get("register_tokens")
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"blocks\.(\d+)\."),
            "mlp_dim": tensors.shape(last, 2)[1],
            "num_heads": heads(width, None, facts, tensors.source),
            "num_classes": 0,
            "register_tokens": registers.shape[1] if registers else 0,
            "gated_mlp": gated,
            "activation": "silu" if gated else "gelu",
            "layer_scale": facts.get("layer_scale", 1.0),
            "qkv_bias": "all" if "blocks.0.attn.qkv.bias" in tensors else "none",
            "position_rows": tensors.shape("pos_embed", 3)[1],
            "prefix_tokens": 1,
        }

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        rules = (*self.dialects[dialect], *(_GATED if config.gated_mlp else _MLP))
        return bind(dialect, rules, config, {})

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, False

    def idle(self, config: ViTConfig) -> dict[str, np.ndarray]:
        found = {"mask_token": np.zeros((1, config.width), np.float32)}
        if not config.register_tokens:
            found["register_tokens"] = np.zeros((1, 0, config.width), np.float32)
        return found

    def config_json(self, config: ViTConfig) -> Settings:
        # transformers rounds down, and takes two thirds of a gated one.
        size = 1.5 * config.mlp_dim if config.gated_mlp else config.mlp_dim
        return {
            "architectures": ["Tipsv2VisionModel"],
            "model_type": "tipsv2_vision_model",
            **swiglu_json(config),
            "mlp_ratio": (size + 0.25) / config.width,
            "num_register_tokens": config.register_tokens,
        }
