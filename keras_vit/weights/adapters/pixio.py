# SPDX-License-Identifier: MIT
"""Pixio of Hugging Face transformers: a ViT with several class tokens."""

from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapters.dinov2 import mlp_ratio
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    bert_attention,
    bert_mlp,
    common_json,
    not_square,
    patch_projection,
    qkv_bias,
)
from keras_vit.weights.config_files import Facts
from keras_vit.weights.formats import Checkpoint
from keras_vit.weights.infer import Tensors, heads
from keras_vit.weights.table import Rule, row, torch_norm

_BLOCK = "encoder.layer.{block}"
_QKV = "encoder.layer.0.attention.attention"
_OTHERS = "embeddings.cls_token after the first"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embeddings.projection"),
    row("patch_encoder/class_embedding", "embeddings.cls_token"),
    row("patch_encoder/register_embedding", _OTHERS),
    row("patch_encoder/position_embedding", "embeddings.position_embeddings"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.norm1"),
    *bert_attention(_BLOCK),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.norm2"),
    *bert_mlp(_BLOCK),
    *torch_norm("encoder_norm", "layernorm"),
)


class Pixio(HuggingFace):
    """All class tokens but the first are registers here; the average of them all is no pool here,
    so that with more than one the caller says which pool takes its place."""

    name = "hf_pixio"
    kinds = {"pixio": {"num_attention_heads": 16, "layer_norm_eps": 1e-6, "image_size": 256}}
    dialects = {"hf_pixio": _RULES}
    landmarks = ("encoder.layer.0.norm1.weight",)
    prefixes = ("", "pixio.")
    says = {"activation": ("quick_gelu", "silu", "relu"), "qkv_bias": ("none",)}
    cannot = {
        "a head": lambda c: c.num_classes,
        "a model without class token": lambda c: not c.class_token,
        "a distillation token": lambda c: c.distillation_token,
        "registers": lambda c: c.register_tokens > 0,
        "a representation that is not the class token": lambda c: c.pool != "token",
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "a tanh layer": lambda c: c.representation_size > 0,
        "an MLP of this size": lambda c: mlp_ratio(c) is None,
        "images that are not square": not_square,
    }

    def recognise(self, names):
        prefix = super().recognise(names)
        scaled = prefix is not None and f"{prefix}encoder.layer.0.layer_scale1.lambda1" in names
        return None if scaled else prefix  # DINOv2's

    def described(self, config: Settings, source: str) -> Facts:
        facts = super().described(config, source)
        return {name: value for name, value in facts.items() if name != "mlp_dim"}

    def computed(self, checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
        if not config.register_tokens:
            return checkpoint
        name, width = "embeddings.cls_token", config.width
        return checkpoint.with_computed(
            {
                name: ((1, 1, width), lambda: checkpoint[name][:, :1]),
                _OTHERS: ((1, config.register_tokens, width), lambda: checkpoint[name][:, 1:]),
            }
        )

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        projection = "embeddings.patch_embeddings.projection.weight"
        width, channels, *patch_size = tensors.shape(projection, 4)
        classes = tensors.shape("embeddings.cls_token", 3)[1]
        if classes > 1 and facts.get("pool") not in ("token", "average"):
            raise UserError(
                f"{tensors.source}: its representation is the average of {classes} class tokens, "
                "which the model here has not. Say what to read instead: pool='average' for the "
                "patches, or pool='token' for the first class token."
            )
        hidden = "encoder.layer.0.intermediate.dense.weight"
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"encoder\.layer\.(\d+)\."),
            "mlp_dim": tensors.shape(hidden, 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "num_classes": 0,
            "register_tokens": classes - 1,
            "register_tokens_in_positions": classes > 1,
            "pool": facts.get("pool", "token"),
            "qkv_bias": qkv_bias(tensors, *(f"{_QKV}.{p}.bias" for p in ("query", "key", "value"))),
            "position_rows": tensors.shape("embeddings.position_embeddings", 3)[1],
            "prefix_tokens": classes,
        }

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, True

    def config_json(self, config: ViTConfig) -> Settings:
        settings = common_json(config)
        del settings["intermediate_size"]
        return {
            "architectures": ["PixioModel"],
            "model_type": "pixio",
            **settings,
            "mlp_ratio": mlp_ratio(config),
            "qkv_bias": config.qkv_bias == "all",
            "drop_path_rate": config.stochastic_depth,
            "n_cls_tokens": 1,
        }
