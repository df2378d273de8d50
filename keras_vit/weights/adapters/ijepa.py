# SPDX-License-Identifier: MIT
"""I-JEPA of Hugging Face transformers: a ViT without class token."""

from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    bert_attention,
    bert_mlp,
    common_json,
    patch_projection,
    qkv_bias,
)
from keras_vit.weights.config_files import Facts
from keras_vit.weights.infer import Tensors, head, heads
from keras_vit.weights.table import Rule, row, torch_dense, torch_norm

_BLOCK = "encoder.layer.{block}"
_QKV = "encoder.layer.0.attention.attention"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embeddings.projection"),
    row("patch_encoder/position_embedding", "embeddings.position_embeddings"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.layernorm_before"),
    *bert_attention(_BLOCK),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.layernorm_after"),
    *bert_mlp(_BLOCK),
    *torch_norm("encoder_norm", "layernorm"),
    *torch_dense("head", "classifier"),
)


class IJepa(HuggingFace):
    """Its head reads the average of the patches, after the last norm."""

    name = "hf_ijepa"
    kinds = {"ijepa": {"num_attention_heads": 12, "layer_norm_eps": 1e-12}}
    dialects = {"hf_ijepa": _RULES}
    landmarks = ("embeddings.patch_embeddings.projection.weight",)
    prefixes = ("", "ijepa.")
    beside = ("*embeddings.mask_token",)
    says = {"activation": ("quick_gelu", "silu", "relu"), "qkv_bias": ("none",)}
    cannot = {
        "a class token": lambda c: c.class_token,
        "a distillation token": lambda c: c.distillation_token,
        "registers": lambda c: c.register_tokens > 0,
        "a pool other than the average": lambda c: c.pool != "average",
        "a norm after the average": lambda c: c.norm_after_pool,
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "a tanh layer before the head": lambda c: c.representation_size > 0,
    }

    def recognise(self, names):
        prefix = super().recognise(names)
        has_class_token = prefix is not None and f"{prefix}embeddings.cls_token" in names
        return None if has_class_token else prefix

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape(self.landmarks[0], 4)
        hidden = "encoder.layer.0.intermediate.dense.weight"
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"encoder\.layer\.(\d+)\."),
            "mlp_dim": tensors.shape(hidden, 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "class_token": False,
            "pool": "average",
            "qkv_bias": qkv_bias(tensors, *(f"{_QKV}.{p}.bias" for p in ("query", "key", "value"))),
            "position_rows": tensors.shape("embeddings.position_embeddings", 3)[1],
            "prefix_tokens": 0,
            **head(tensors, "classifier.weight", "classifier.bias", outputs_first=True),
        }

    def written_name(self, name: str, config: ViTConfig) -> str:
        if not config.num_classes or name.startswith("classifier."):
            return name
        return f"ijepa.{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return False, False

    def config_json(self, config: ViTConfig) -> Settings:
        return {
            "architectures": [
                f"IJepa{'ForImageClassification' if config.num_classes else 'Model'}"
            ],
            "model_type": "ijepa",
            "qkv_bias": config.qkv_bias == "all",
            **common_json(config),
        }

    def at_home(self, outputs: Any) -> Any:
        # Its model has no pool; that of its class with a head takes the average.
        logits = getattr(outputs, "logits", None)
        return outputs.last_hidden_state.mean(1) if logits is None else logits
