# SPDX-License-Identifier: MIT
"""DINOv2 of Hugging Face transformers, with and without registers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.adapters.dino_tables import gated_mlp, plain_mlp, registers
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    bert_attention,
    common_json,
    not_square,
    patch_projection,
    qkv_bias,
)
from keras_vit.weights.binding import Binding, bind
from keras_vit.weights.config_files import Facts
from keras_vit.weights.infer import Tensors, head, heads
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    Rule,
    row,
    torch_dense,
    torch_norm,
)

_BLOCK = "encoder.layer.{block}"
_QKV = "encoder.layer.0.attention.attention"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embeddings.projection"),
    row("patch_encoder/class_embedding", "embeddings.cls_token"),
    registers("embeddings.register_tokens"),
    row("patch_encoder/position_embedding", "embeddings.position_embeddings"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.norm1"),
    *bert_attention(_BLOCK),
    row("block_{block}/attention_scale/gamma", f"{_BLOCK}.layer_scale1.lambda1"),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.norm2"),
    row("block_{block}/mlp_scale/gamma", f"{_BLOCK}.layer_scale2.lambda1"),
    *torch_norm("encoder_norm", "layernorm"),
    *torch_dense("head", "classifier"),
)
# The MLP has other names where it is gated.
_MLP = plain_mlp(f"{_BLOCK}.mlp.fc1", f"{_BLOCK}.mlp.fc2")
_GATED = gated_mlp(f"{_BLOCK}.mlp.weights_in", f"{_BLOCK}.mlp.weights_out")
USUAL = {
    "num_attention_heads": 12,
    "layer_norm_eps": 1e-6,
    "layerscale_value": 1.0,
    "use_swiglu_ffn": False,
}
CANNOT = {
    "a model without class token": lambda c: not c.class_token,
    "a distillation token": lambda c: c.distillation_token,
    "a model without LayerScale": lambda c: c.layer_scale is None,
    "QK-norm": lambda c: c.qk_norm,
    "a ResNet stem": lambda c: c.resnet_stages is not None,
    "a tanh layer before the head": lambda c: c.representation_size > 0,
    "a gated MLP with another activation than SiLU": lambda c: (
        c.gated_mlp and c.activation != "silu"
    ),
    "an MLP of this size": lambda c: mlp_ratio(c) is None,
    "images that are not square": not_square,
}


class Dinov2(HuggingFace):
    """Its head reads the class token and the average of the patches side by side."""

    name = "hf_dinov2"
    kinds = {
        "dinov2": USUAL,
        "dinov2_with_registers": {**USUAL, "num_register_tokens": 4},
    }
    dialects = {"hf_dinov2": _RULES}
    landmarks = ("encoder.layer.0.layer_scale1.lambda1",)
    prefixes = ("", "dinov2.", "dinov2_with_registers.")
    beside = ("*embeddings.mask_token",)
    says = {
        "gated_mlp": (True,),
        "activation": ("quick_gelu", "silu", "relu"),
        "pool": ("token_and_average",),
        "qkv_bias": ("none",),
    }
    cannot = {
        **CANNOT,
        "a head that does not read the class token and the average": lambda c: (
            c.num_classes and c.pool != "token_and_average"
        ),
        "a representation that is not the class token": lambda c: (
            not c.num_classes and c.pool != "token"
        ),
    }

    def described(self, config: Settings, source: str) -> Facts:
        return swiglu_facts(super().described(config, source))

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        projection = "embeddings.patch_embeddings.projection.weight"
        width, channels, *patch_size = tensors.shape(projection, 4)
        gated = "encoder.layer.0.mlp.weights_in.weight" in tensors
        last = f"encoder.layer.0.mlp.{'weights_out' if gated else 'fc2'}.weight"
        registers = "embeddings.register_tokens"
        classes = head(tensors, "classifier.weight", "classifier.bias", outputs_first=True)
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"encoder\.layer\.(\d+)\."),
            "mlp_dim": tensors.shape(last, 2)[1],
            "num_heads": heads(width, None, facts, tensors.source),
            "register_tokens": tensors.shape(registers, 3)[1] if registers in tensors else 0,
            "gated_mlp": gated,
            "activation": "silu" if gated else "gelu",
            "layer_scale": facts.get("layer_scale", 1.0),
            "qkv_bias": qkv_bias(tensors, *(f"{_QKV}.{p}.bias" for p in ("query", "key", "value"))),
            "pool": "token_and_average" if classes["num_classes"] else "token",
            "position_rows": tensors.shape("embeddings.position_embeddings", 3)[1],
            "prefix_tokens": 1,
            **classes,
        }

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        rules = (*self.dialects[dialect], *(_GATED if config.gated_mlp else _MLP))
        return bind(dialect, rules, config, {})

    def written_name(self, name: str, config: ViTConfig) -> str:
        if not config.num_classes or name.startswith("classifier."):
            return name
        return f"{_kind(config)}.{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, False

    def idle(self, config: ViTConfig) -> dict[str, np.ndarray]:
        name = self.written_name("embeddings.mask_token", config)
        return {name: np.zeros((1, config.width), np.float32)}

    def config_json(self, config: ViTConfig) -> Settings:
        kind = "Dinov2WithRegisters" if config.register_tokens else "Dinov2"
        ending = "ForImageClassification" if config.num_classes else "Model"
        registers = {"num_register_tokens": config.register_tokens}
        return {
            "architectures": [f"{kind}{ending}"],
            "model_type": _kind(config),
            **swiglu_json(config),
            **(registers if config.register_tokens else {}),
        }

    def resampling_of(self, config: ViTConfig) -> Resampling:
        # Of the two classes of transformers one filters what it shrinks, as their papers do.
        return Resampling("bicubic_antialias" if config.register_tokens else "bicubic")


def _kind(config: ViTConfig) -> str:
    return "dinov2_with_registers" if config.register_tokens else "dinov2"


def swiglu_facts(facts: Facts) -> Facts:
    """What a `config.json` in the form of DINOv2's tells: the size of its MLP is a ratio, which the
    tensors show better, and a gated MLP has SiLU, whatever `hidden_act` says."""
    facts = {name: value for name, value in facts.items() if name != "mlp_dim"}
    settings: Mapping[str, Any] = facts["settings"]
    if settings.get("use_swiglu_ffn"):
        facts["activation"] = "silu"
    return {**facts, "layer_scale": settings["layerscale_value"]}


def swiglu_json(config: ViTConfig) -> Settings:
    """Settings in the form of DINOv2's."""
    settings = common_json(config)
    del settings["intermediate_size"]
    return {
        **settings,
        "mlp_ratio": mlp_ratio(config),
        "use_swiglu_ffn": config.gated_mlp,
        "layerscale_value": config.layer_scale,
        "qkv_bias": config.qkv_bias == "all",
        "drop_path_rate": config.stochastic_depth,
    }


def mlp_ratio(config: ViTConfig) -> int | None:
    """The whole number of which transformers makes the size of the MLP; None if there is none.

    Of a gated MLP it takes two thirds, rounded up to a multiple of 8.
    """
    for ratio in range(1, 33):
        size = config.width * ratio
        if (
            (int(size * 2 / 3) + 7) // 8 * 8 == config.mlp_dim
            if config.gated_mlp
            else (size == config.mlp_dim)
        ):
            return ratio
    return None
