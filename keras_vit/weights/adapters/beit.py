# SPDX-License-Identifier: MIT
"""BEiT and Data2Vec-vision of Hugging Face transformers."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
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
from keras_vit.weights.infer import Tensors, head, heads
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import Rule, row, torch_dense, torch_norm

_BLOCK = "encoder.layer.{block}"
_QKV = "encoder.layer.0.attention.attention"
_TABLE = "relative_position_bias.relative_position_bias_table"
_RULES: tuple[Rule, ...] = (
    *patch_projection("embeddings.patch_embeddings.projection"),
    row("patch_encoder/class_embedding", "embeddings.cls_token"),
    row("patch_encoder/position_embedding", "embeddings.position_embeddings"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.layernorm_before"),
    *bert_attention(_BLOCK),
    row(
        "block_{block}/attention/relative_position_bias/table",
        f"{_BLOCK}.attention.attention.{_TABLE}",
    ),
    row("block_{block}/attention_scale/gamma", f"{_BLOCK}.lambda_1"),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.layernorm_after"),
    *bert_mlp(_BLOCK),
    row("block_{block}/mlp_scale/gamma", f"{_BLOCK}.lambda_2"),
    *torch_norm("encoder_norm", "{final_norm}"),
    *torch_dense("head", "classifier"),
)
_USUAL = {
    "num_attention_heads": 12,
    "layer_norm_eps": 1e-12,
    "layer_scale_init_value": 0.1,
    "use_mean_pooling": True,
    "use_absolute_position_embeddings": False,
    "use_relative_position_bias": False,
    "use_shared_relative_position_bias": False,
}


class Beit(HuggingFace):
    """Positions are relative, or added; the average is normalised after the pool."""

    name = "hf_beit"
    model = "Beit"  # what its classes start with
    kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"beit": _USUAL}
    dialects: Mapping[str, tuple[Rule, ...]] = {"hf_beit": _RULES}
    # A plain ViT has biases of keys, and no scales: these names are of BEiT alone.
    landmarks = (
        "encoder.layer.0.lambda_1",
        f"encoder.{_TABLE}",
        f"encoder.layer.0.attention.attention.{_TABLE}",
    )
    prefixes: tuple[str, ...] = ("", "beit.")
    beside = ("*embeddings.mask_token", "*relative_position_index")
    resampling = Resampling("bicubic", offsets="bilinear")
    says: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "relative_position_bias": (True,),
        "activation": ("quick_gelu", "silu", "relu"),
        "qkv_bias": ("query_value",),
    }
    tableless = ("none",)
    cannot: ClassVar[Mapping[str, Any]] = {
        "a model without class token": lambda c: not c.class_token,
        "a distillation token": lambda c: c.distillation_token,
        "registers": lambda c: c.register_tokens > 0,
        "a pool other than the class token and the average": lambda c: (
            c.pool not in ("token", "average")
        ),
        "an average that is not normalised after the pool": lambda c: (
            c.pool == "average" and not c.norm_after_pool and c.final_norm
        ),
        "an average that reads the class token": lambda c: c.pool_includes_prefix,
        "biases of keys": lambda c: c.qkv_bias == "all",
        "QK-norm": lambda c: c.qk_norm,
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "a tanh layer before the head": lambda c: c.representation_size > 0,
        "images that are not square": not_square,
        "relative position bias for patches that are not square": lambda c: (
            c.relative_position_bias and c.patch_size[0] != c.patch_size[1]
        ),
    }

    def recognise(self, names):
        prefix = super().recognise(names)
        if prefix is None:
            # Without scales and relative positions a file looks like a ViT without biases of keys.
            query, key = f"{_QKV}.query.bias", f"{_QKV}.key.bias"
            fits = (p for p in self.prefixes if p + query in names and p + key not in names)
            prefix = next(fits, None)
        return prefix

    def computed(self, checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
        # One table for all blocks is read into each of them.
        shared = f"encoder.{_TABLE}"
        if shared not in checkpoint:
            return checkpoint
        names = {name: name for name in checkpoint if name != shared}
        tables = {
            f"encoder.layer.{i}.attention.attention.{_TABLE}": shared for i in range(config.depth)
        }
        return checkpoint.renamed(names | tables)

    def described(self, config: Settings, source: str) -> Facts:
        facts = super().described(config, source)
        settings = facts["settings"]
        relative = "use_relative_position_bias", "use_shared_relative_position_bias"
        if all(settings[name] for name in relative):
            raise UserError(
                f"{source}: {' and '.join(relative)} are both on: the model here has one table of "
                "relative positions in each block."
            )
        return {**facts, "layer_scale": settings["layer_scale_init_value"]}

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        if not any(name.startswith(("layernorm.", "pooler.")) for name in tensors.specs):
            raise UserError(
                f"{tensors.source}: nothing tells how its tokens become a representation. Put its "
                "config.json next to it."
            )
        return super().unnamed(tensors, facts)

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        projection = "embeddings.patch_embeddings.projection.weight"
        width, channels, *patch_size = tensors.shape(projection, 4)
        positions = "embeddings.position_embeddings"
        tables = [name for name in tensors.specs if name.endswith(_TABLE)]
        hidden = "encoder.layer.0.intermediate.dense.weight"
        found = {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"encoder\.layer\.(\d+)\."),
            "mlp_dim": tensors.shape(hidden, 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "qkv_bias": qkv_bias(tensors, *(f"{_QKV}.{p}.bias" for p in ("query", "key", "value"))),
            "layer_scale": None,
            "position": "learned" if positions in tensors else "none",
            "relative_position_bias": bool(tables),
            "position_rows": None,
            "prefix_tokens": 0,
            **_pool(tensors, facts),
            **head(tensors, "classifier.weight", "classifier.bias", outputs_first=True),
        }
        if "encoder.layer.0.lambda_1" in tensors:
            found["layer_scale"] = facts.get("layer_scale") or 0.1
        if tables:
            _check_square(facts.get("image_size"), tensors.source)
            found["position_rows"] = _patches(tensors.shape(tables[0], 2)[0])
        if positions in tensors:
            found |= {"position_rows": tensors.shape(positions, 3)[1], "prefix_tokens": 1}
        return found

    def placeholders(self, config: ViTConfig) -> dict[str, str]:
        return {"final_norm": "pooler.layernorm" if config.norm_after_pool else "layernorm"}

    def written_name(self, name: str, config: ViTConfig) -> str:
        if not config.num_classes or name.startswith("classifier."):
            return name
        return f"{self.prefixes[1]}{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, False

    def biases_for(self, config: ViTConfig) -> dict[str, Any]:
        found = super().biases_for(config)
        return found | ({"qkv_bias": "query_value"} if config.qkv_bias == "none" else {})

    def config_json(self, config: ViTConfig) -> Settings:
        ending = "ForImageClassification" if config.num_classes else "Model"
        return {
            "architectures": [f"{self.model}{ending}"],
            "model_type": next(iter(self.kinds)),
            **common_json(config),
            "drop_path_rate": config.stochastic_depth,
            "layer_scale_init_value": config.layer_scale or 0.0,
            "use_mask_token": False,
            "use_mean_pooling": config.pool == "average",
            "use_absolute_position_embeddings": config.position == "learned",
            "use_relative_position_bias": config.relative_position_bias,
            "use_shared_relative_position_bias": False,
        }


class Data2Vec(Beit):
    """BEiT's layers under other names; without a head, nothing normalises the tokens."""

    name = "hf_data2vec"
    model = "Data2VecVision"
    kinds = {"data2vec-vision": _USUAL}
    dialects = {"hf_data2vec": _RULES}
    prefixes = ("", "data2vec_vision.")
    says = {**Beit.says, "final_norm": (False,)}
    cannot = {
        **Beit.cannot,
        "a head without a norm": lambda c: c.num_classes and not c.final_norm,
        "an average without a head": lambda c: not c.num_classes and c.norm_after_pool,
    }

    def at_home(self, outputs: Any) -> Any:
        # Its model has no pool; that of its classes with a head takes the average of the patches.
        if getattr(outputs, "logits", None) is None and outputs.pooler_output is None:
            return outputs.last_hidden_state[:, 1:].mean(1)
        return super().at_home(outputs)


def _pool(tensors: Tensors, facts: Facts) -> dict[str, Any]:
    """The pool, and where its norm is: none at all where transformers left out the pooler."""
    if "pooler.layernorm.weight" in tensors:
        return {"pool": "average", "norm_after_pool": True}
    mean = facts.get("settings", {}).get("use_mean_pooling", False)
    return {"pool": "average" if mean else "token", "final_norm": "layernorm.weight" in tensors}


def _patches(offsets: int) -> int:
    """Patches of a square grid for which a table has so many rows: (2R - 1)^2, and 3 of the class
    token."""
    return ((math.isqrt(max(0, offsets - 3)) + 1) // 2) ** 2


def _check_square(size, source: str) -> None:
    if isinstance(size, tuple) and size[0] != size[1]:
        raise UserError(
            f"{source}: has relative position bias and images of {size[0]} x {size[1]} pixels: of "
            "a grid that is not square, transformers takes rows for columns."
        )
