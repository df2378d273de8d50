# SPDX-License-Identifier: MIT
"""What the encoders of images in CLIP and SigLIP of transformers share: names, and where they lie.

A checkpoint holds the encoder alone, or next to an encoder of texts, which is passed over: its
tensors are never read.
"""

from collections.abc import Collection
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapters.hugging_face import (
    HuggingFace,
    Settings,
    common_json,
    labels_json,
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
    torch_norm,
)

_LAYER = "encoder.layers.{block}"
# The names stand after `vision_model.`, but for that of the head.
ENCODER: tuple[Rule, ...] = (
    row("patch_encoder/position_embedding", "embeddings.position_embedding.weight", UNBATCHED),
    *torch_norm("block_{block}/attention_norm", f"{_LAYER}.layer_norm1"),
    *[
        rule
        for part in ("query", "key", "value")
        for rule in torch_heads_in(
            "block_{block}/attention", (part,), f"{_LAYER}.self_attn.{part[0]}_proj"
        )
    ],
    *torch_heads_out("block_{block}/attention", f"{_LAYER}.self_attn.out_proj"),
    *torch_norm("block_{block}/mlp_norm", f"{_LAYER}.layer_norm2"),
    *torch_dense("block_{block}/mlp/hidden", f"{_LAYER}.mlp.fc1"),
    *torch_dense("block_{block}/mlp/output_projection", f"{_LAYER}.mlp.fc2"),
    *torch_norm("encoder_norm", "post_layernorm"),
    *torch_dense("head", "{head}"),
)
_OF_ENCODER = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("hidden_act", "layer_norm_eps", "image_size", "patch_size", "num_channels"),
)
_HEADS = ("visual_projection.", "classifier.")
_CLASSIFIER = "ForImageClassification"

# What neither family has a word for.
UNKNOWN = {
    "LayerScale": lambda c: c.layer_scale is not None,
    "QK-norm": lambda c: c.qk_norm,
    "register tokens": lambda c: c.register_tokens > 0,
    "a distillation token": lambda c: c.distillation_token,
    "a ResNet stem": lambda c: c.resnet_stages is not None,
    "a tanh layer before the head": lambda c: c.representation_size > 0,
    "images or patches that are not square": lambda c: (
        len(set(c.image_size)) > 1 or len(set(c.patch_size)) > 1
    ),
}


class LanguageImage(HuggingFace):
    """Names and settings that both families have.

    Attributes:
        library_name: what the classes of the family begin with in transformers.
        kind: `model_type` of a checkpoint with both encoders; that of the encoder of images alone
            ends in `_vision_model`.
        classified_without: beginning of the names that a classifier of the family does not read,
            although they are in its files.
    """

    library_name: str
    kind: str
    classified_without: str
    prefixes = ("vision_model.", "")
    beside = ("text_model.*", "text_projection.*", "logit_scale", "logit_bias", "*position_ids")

    def unused(self, names: Collection[str]) -> set[str]:
        if "classifier.weight" not in names:
            return set()
        return {name for name in names if name.startswith(self.classified_without)}

    def settings(self, config: Settings, source: str) -> Settings:
        found = super().settings(config, source)
        return {**found, "architectures": config.get("architectures")}

    def encoder_fields(self, tensors: Tensors, facts: Facts, width: int) -> dict[str, Any]:
        """The fields of `ViTConfig` that are read alike in both families."""
        return {
            "width": width,
            "depth": tensors.count(r"encoder\.layers\.(\d+)\."),
            "mlp_dim": tensors.shape("encoder.layers.0.mlp.fc1.weight", 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "position_rows": tensors.shape("embeddings.position_embedding.weight", 2)[0],
        }

    def classifies(self, tensors: Tensors, facts: Facts) -> bool:
        """Whether a file is of a classifier, which reads the average of the patches.

        Raises:
            UserError: where the `config.json` names a class that does other than the tensors show.
        """
        found = "classifier.weight" in tensors
        told = facts.get("settings", {}).get("architectures") or []
        named = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
        if named and found != any(name.endswith(_CLASSIFIER) for name in named):
            has = "a" if found else "no"
            raise UserError(
                f"{tensors.source}: the config.json next to it names {named[0][:80]}, but the "
                f"tensors have {has} classifier. One of them belongs to another model."
            )
        return found

    def reference_json(self, config: ViTConfig, own: Settings) -> Settings:
        if own.get("model_type") in self.towers and config.pool != "average":
            return {**own, "architectures": [f"{self.library_name}Model"]}
        return super().reference_json(config, own)

    def forward(self, model: Any, images: Any) -> Any:
        features = getattr(model, "get_image_features", model)  # of both encoders, or of one
        return features(**self.inputs(model, images))

    def inputs(self, model: Any, images: Any) -> dict[str, Any]:
        """What a model of transformers takes, for images as in `forward`."""
        return {"pixel_values": images}

    def at_home(self, outputs: Any) -> Any:
        embedding = getattr(outputs, "image_embeds", None)
        return super().at_home(outputs) if embedding is None else embedding

    def placeholders(self, config: ViTConfig) -> dict[str, str]:
        return {"head": "classifier" if config.pool == "average" else "visual_projection"}

    def written_name(self, name: str, config: ViTConfig) -> str:
        return name if name.startswith(_HEADS) else f"vision_model.{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, False

    def config_json(self, config: ViTConfig) -> Settings:
        alone = {"model_type": f"{self.kind}_vision_model", **self.encoder_json(config)}
        if config.pool != "average":
            with_head = "WithProjection" if config.num_classes else ""
            return {"architectures": [f"{self.library_name}VisionModel{with_head}"], **alone}
        # transformers has classifiers for checkpoints with both encoders alone.
        return {
            "architectures": [f"{self.library_name}{_CLASSIFIER}"],
            "model_type": self.kind,
            "vision_config": alone,
            **labels_json(config),
        }

    def encoder_json(self, config: ViTConfig) -> Settings:
        """The settings of the encoder of images."""
        common = common_json(config)
        found = {name: value for name, value in common.items() if name in _OF_ENCODER}
        return {**found, "attention_dropout": config.attention_dropout}
