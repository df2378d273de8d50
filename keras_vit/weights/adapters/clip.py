# SPDX-License-Identifier: MIT
"""CLIP of Hugging Face transformers (arXiv 2103.00020), and two models that are built like it.

These are MetaCLIP 2 (arXiv 2507.22062) and Chinese CLIP (arXiv 2211.01335).
"""

from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.adapters.hugging_face import Settings
from keras_vit.weights.adapters.language_image import ENCODER, UNKNOWN, LanguageImage
from keras_vit.weights.config_files import Facts, preprocessor_facts
from keras_vit.weights.infer import Tensors, head
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import ONE_TOKEN, PATCHES_TORCH, Rule, row, torch_norm

# Statistics of the pixels of OpenAI's images, which CLIP's preprocessing takes unless told others.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
_RULES: tuple[Rule, ...] = (
    row("patch_encoder/projection/kernel", "embeddings.patch_embedding.weight", PATCHES_TORCH),
    row("patch_encoder/class_embedding", "embeddings.class_embedding", ONE_TOKEN),
    *torch_norm("embedding_norm", "pre_layrnorm"),  # as transformers spells it
    *ENCODER,
)
# What its config classes say where a config.json does not.
_USUAL = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


class Clip(LanguageImage):
    """The encoder of images, its projection to the space of texts, and a classifier.

    The projection is a head without bias: the outputs are the embedding of the image, before it is
    divided by its length.
    """

    name = "hf_clip"
    library_name = "CLIP"
    kind = "clip"
    kinds = {"clip": _USUAL, "clip_vision_model": _USUAL}
    towers = ("clip",)
    dialects = {"hf_clip": _RULES}
    landmarks = ("embeddings.class_embedding", "pre_layrnorm.weight")
    embedding_norm = "pre_layrnorm"
    # The classifier averages the tokens as the last block leaves them.
    classified_without = "post_layernorm."
    resampling = Resampling("bicubic")
    says = {
        "patch_bias": (False,),
        "embedding_norm": (True,),
        "final_norm": (False,),
        "head_bias": (None,),
        "activation": ("quick_gelu", "silu", "relu"),
    }
    cannot = {
        **UNKNOWN,
        "a model without a norm before the blocks": lambda c: not c.embedding_norm,
        "a bias of the projection of patches": lambda c: c.patch_bias,
        "a model without class token": lambda c: not c.class_token,
        "attention pooling": lambda c: c.pool == "map",
        "a class token without a norm": lambda c: c.pool == "token" and not c.final_norm,
        "a bias of the head on the class token": lambda c: (
            c.pool == "token" and c.num_classes and c.head_bias is not None
        ),
        "an average of normalised patches, or of other tokens": lambda c: (
            c.pool == "average" and (c.final_norm or c.pool_includes_prefix)
        ),
        "an average without a head, or with one without bias": lambda c: (
            c.pool == "average" and (not c.num_classes or c.head_bias is None)
        ),
    }

    def settings(self, config: Settings, source: str) -> Settings:
        found = super().settings(config, source)
        # Old files have the settings twice, and transformers takes these.
        again = config.get("vision_config_dict")
        if config["model_type"] in self.towers and isinstance(again, dict):
            found |= {**self.kinds[self.kind], **again}
        return found

    def facts(self, config: Settings, file: Path, architecture: str | None) -> Facts:
        usual = {"pixel_mean": PIXEL_MEAN, "pixel_std": PIXEL_STD}
        told = preprocessor_facts(file, PIXEL_MEAN, PIXEL_STD)
        return usual | super().facts(config, file, architecture) | told

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("embeddings.patch_embedding.weight", 4)
        classifies = self.classifies(tensors, facts)
        outputs = "classifier" if classifies else "visual_projection"
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "patch_bias": False,
            "embedding_norm": True,
            "pool": "average" if classifies else "token",
            "final_norm": not classifies,
            "prefix_tokens": 1,
            **self.encoder_fields(tensors, facts, width),
            **head(tensors, f"{outputs}.weight", f"{outputs}.bias", outputs_first=True),
        }

    def idle(self, config: ViTConfig) -> dict[str, np.ndarray]:
        if config.final_norm:
            return {}
        ones, zeros = np.ones(config.width, np.float32), np.zeros(config.width, np.float32)
        norm = f"vision_model.{self.classified_without}"
        return {f"{norm}weight": ones, f"{norm}bias": zeros}

    def encoder_json(self, config: ViTConfig) -> Settings:
        projection = {"projection_dim": config.num_classes} if config.pool == "token" else {}
        return super().encoder_json(config) | projection


class MetaClip2(Clip):
    """CLIP for texts of all languages; its encoder of images is CLIP's."""

    name = "hf_metaclip_2"
    library_name = "MetaClip2"
    kind = "metaclip_2"
    kinds = {"metaclip_2": _USUAL, "metaclip_2_vision_model": _USUAL}
    towers = ("metaclip_2",)
    dialects = {"hf_metaclip_2": _RULES}


class ChineseClip(Clip):
    """CLIP for Chinese texts; transformers has its encoder of images without heads."""

    name = "hf_chinese_clip"
    library_name = "ChineseCLIP"
    kind = "chinese_clip"
    kinds = {"chinese_clip": _USUAL, "chinese_clip_vision_model": _USUAL}
    towers = ("chinese_clip",)
    dialects = {"hf_chinese_clip": _RULES}
    cannot = {**Clip.cannot, "a head (transformers has no class for it)": lambda c: c.num_classes}
