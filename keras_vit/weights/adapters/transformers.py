# SPDX-License-Identifier: MIT
"""Hugging Face transformers: ViT and DeiT, and models with the same names (MAE, MSN)."""

from collections.abc import Collection, Mapping
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.untrusted.schema import check
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    bert_attention,
    bert_mlp,
    common_json,
    patch_projection,
    qkv_bias,
)
from keras_vit.weights.config_files import Facts, translated
from keras_vit.weights.formats import Spec
from keras_vit.weights.infer import Tensors, head, heads
from keras_vit.weights.table import (
    Rule,
    renamed,
    row,
    torch_dense,
    torch_norm,
)

# The names in files. They stand after `vit.` or `deit.`, but for those of the heads.
_BLOCK = "encoder.layer.{block}"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embeddings.projection"),
    row("patch_encoder/class_embedding", "embeddings.cls_token"),
    row("patch_encoder/distillation_embedding", "embeddings.distillation_token"),
    # DeiT without the second head: its second token is one that nothing reads, a register.
    row("patch_encoder/register_embedding", "embeddings.distillation_token"),
    row("patch_encoder/position_embedding", "embeddings.position_embeddings"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.layernorm_before"),
    *bert_attention(_BLOCK),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.layernorm_after"),
    *bert_mlp(_BLOCK),
    *torch_norm("encoder_norm", "layernorm"),
    *torch_dense("pre_logits", "pooler.dense"),
    *torch_dense("head", "{classifier}"),
    *torch_dense("distillation_head", "distillation_classifier"),
)
_HEADS = ("classifier", "cls_classifier", "distillation_classifier")

# Modules as transformers 5 calls them in memory; its files keep the names before.
_V5 = (
    ("encoder.layer.", "layers."),
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
)


# What their config classes say where a config.json does not.
_USUAL = {"num_attention_heads": 12, "layer_norm_eps": 1e-12}
_UNLIKE = {
    "radio": "no norm after the last block",
    "internvl_vision": "LayerScale and norms of queries and keys under names of its own",
}


class Transformers(HuggingFace):
    """Names of files and of memory; a `config.json` tells what the tensors do not."""

    name = "hf"
    kinds = {
        "vit": _USUAL,
        "deit": _USUAL,
        "vit_mae": _USUAL,
        "vit_msn": {**_USUAL, "layer_norm_eps": 1e-6},
    }
    dialects = {"hf": _RULES, "hf_v5": renamed(_RULES, *_V5)}
    landmarks = ("embeddings.patch_embeddings.projection.weight",)
    prefixes = ("", "vit.", "deit.")
    # Of masked-image pre-training; the decoder is another model.
    beside = ("*embeddings.mask_token", "*position_ids", "decoder.*")
    says = {"activation": ("quick_gelu", "silu", "relu"), "qkv_bias": ("none",)}
    cannot = {
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "a model without class token": lambda c: not c.class_token,
        "a pool other than the class token": lambda c: c.pool != "token",
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "registers, but for one that has a position (DeiT's second token)": lambda c: (
            c.register_tokens > 0
            and (c.register_tokens, c.register_tokens_in_positions) != (1, True)
        ),
        "a register with a distillation token": lambda c: (
            c.distillation_token and c.register_tokens
        ),
        "a tanh layer between the class token and a head": lambda c: (
            c.representation_size and c.num_classes
        ),
        "a distillation token without heads": lambda c: c.distillation_token and not c.num_classes,
    }

    def dialect_of(self, names: Collection[str]) -> str:
        return "hf_v5" if any(name.startswith("layers.") for name in names) else "hf"

    def unused(self, specs: Mapping[str, Spec]) -> set[str]:
        # The class head reads the token itself; the pooler next to it was never trained.
        if any("classifier." in name for name in specs):
            return {name for name in specs if name.startswith("pooler.")}
        return set()

    def describes(self, config: Settings) -> bool:
        # What no other family takes is refused here, in words.
        return "architecture" not in config and "model_type" in config

    def described(self, config: Settings, source: str) -> Facts:
        kind = check(config["model_type"], str, f"{source}: model_type")
        if kind not in self.kinds:
            has = (
                _UNLIKE.get(kind, "what is not known here") if isinstance(kind, str) else "no name"
            )
            known = ", ".join(self.kinds)
            raise UserError(
                f"{source}: model_type {kind!r} has {has}; the models of transformers that can be "
                f"read are {known}."
            )
        facts = super().described(config, source)
        translated({"tanh": "tanh"}, config.get("pooler_act", "tanh"), "pooler_act", source)
        return facts

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        if any(name.startswith("pooler.") for name in tensors.specs):
            raise UserError(
                f"{tensors.source}: nothing tells the activation of its pooler. Put its "
                "config.json next to it, or leave the pooler out: skip='pooler.*'."
            )
        return super().unnamed(tensors, facts)

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape(self.landmarks[0], 4)
        v5 = "layers.0.layernorm_before.weight" in tensors
        hidden = "layers.0.mlp.fc1.weight" if v5 else "encoder.layer.0.intermediate.dense.weight"
        parts = ("q_proj", "k_proj", "v_proj") if v5 else ("query", "key", "value")
        attention = "layers.0.attention" if v5 else "encoder.layer.0.attention.attention"
        mlp_dim = tensors.shape(hidden, 2)[0]
        if "embeddings.position_embeddings" not in tensors:
            raise UserError(
                f"{tensors.source}: has no table of positions; relative and rotary positions, and "
                "none at all, are not read from transformers."
            )
        two_tokens = "embeddings.distillation_token" in tensors
        two_heads = "cls_classifier.weight" in tensors
        classifier = "cls_classifier" if two_heads else "classifier"
        pooled = "pooler.dense.weight" in tensors
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"layers\.(\d+)\." if v5 else r"encoder\.layer\.(\d+)\."),
            "mlp_dim": mlp_dim,
            "num_heads": heads(width, None, facts, tensors.source),
            "distillation_token": two_tokens and two_heads,
            # Without its head, DeiT's second token is one that nothing reads: a register.
            "register_tokens": int(two_tokens and not two_heads),
            "register_tokens_in_positions": two_tokens and not two_heads,
            "qkv_bias": qkv_bias(tensors, *(f"{attention}.{part}.bias" for part in parts)),
            "representation_size": tensors.shape("pooler.dense.weight", 2)[0] if pooled else 0,
            "activation": "gelu",
            "norm_epsilon": 1e-12,
            "position_rows": tensors.shape("embeddings.position_embeddings", 3)[1],
            "prefix_tokens": 1 + int(two_tokens),
            **head(tensors, f"{classifier}.weight", f"{classifier}.bias", outputs_first=True),
        }

    def placeholders(self, config: ViTConfig) -> dict[str, str]:
        return {"classifier": "cls_classifier" if config.distillation_token else "classifier"}

    def written_name(self, name: str, config: ViTConfig) -> str:
        # A bare ViTModel has no prefix.
        if not config.num_classes or name.startswith(_HEADS):
            return name
        return f"deit.{name}" if _is_deit(config) else f"vit.{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, config.register_tokens_in_positions

    def config_json(self, config: ViTConfig) -> Settings:
        return _config_json(config)


def _is_deit(config: ViTConfig) -> bool:
    return config.distillation_token or config.register_tokens > 0


def _config_json(config: ViTConfig) -> dict[str, Any]:
    kind = "DeiT" if _is_deit(config) else "ViT"
    if not config.num_classes:
        architecture = f"{kind}Model"
    else:
        with_teacher = "WithTeacher" if config.distillation_token else ""
        architecture = f"{kind}ForImageClassification{with_teacher}"
    pooler = {}
    if config.representation_size:
        pooler = {"pooler_act": "tanh", "pooler_output_size": config.representation_size}
    return {
        "architectures": [architecture],
        "model_type": kind.lower(),
        "qkv_bias": config.qkv_bias == "all",
        **pooler,
        **common_json(config),
    }
