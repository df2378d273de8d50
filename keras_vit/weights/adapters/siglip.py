# SPDX-License-Identifier: MIT
"""SigLIP (arXiv 2303.15343) and SigLIP 2 (arXiv 2502.14786) of Hugging Face transformers.

Checkpoints of SigLIP 2 for images of one size are of SigLIP, as transformers counts them; those for
images of any size (NaFlex) are read at the grid of their table, or at another fixed one.
"""

import math
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.preprocessing import View
from keras_vit.weights.adapters.hugging_face import Settings
from keras_vit.weights.adapters.language_image import ENCODER, UNKNOWN, LanguageImage
from keras_vit.weights.config_files import Facts
from keras_vit.weights.infer import Tensors, head
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    DENSE,
    HEADS_BIAS,
    HEADS_IN,
    PATCHES_TORCH,
    Rule,
    row,
    torch_dense,
    torch_heads_out,
    torch_norm,
)

_PATCHES = "embeddings.patch_embedding"
_QKV = ("query", "key", "value")
_SHARED: tuple[Rule, ...] = (
    row("patch_encoder/projection/bias", f"{_PATCHES}.bias"),
    *ENCODER,
    row("pool/probe", "head.probe"),
    Rule(
        tuple(f"pool/attention/{part}/kernel" for part in _QKV),
        "head.attention.in_proj_weight",
        HEADS_IN,
    ),
    Rule(
        tuple(f"pool/attention/{part}/bias" for part in _QKV),
        "head.attention.in_proj_bias",
        HEADS_BIAS,
    ),
    *torch_heads_out("pool/attention", "head.attention.out_proj"),
    *torch_norm("pool/mlp_norm", "head.layernorm"),
    *torch_dense("pool/mlp/hidden", "head.mlp.fc1"),
    *torch_dense("pool/mlp/output_projection", "head.mlp.fc2"),
)
_PROJECTION = "patch_encoder/projection/kernel"
# What its config classes say where a config.json does not.
_USUAL = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}


class Siglip(LanguageImage):
    """The encoder of images with its pool of attention, or a classifier without."""

    name = "hf_siglip"
    library_name = "Siglip"
    kind = "siglip"
    kinds = {"siglip": _USUAL, "siglip_vision_model": _USUAL}
    towers = ("siglip",)
    dialects = {
        "hf_siglip": (row(_PROJECTION, f"{_PATCHES}.weight", PATCHES_TORCH), *_SHARED),
    }
    landmarks = ("embeddings.patch_embedding.bias",)
    # The classifier averages all tokens, and needs no pool.
    classified_without = "head."
    says = {"activation": ("quick_gelu", "silu", "relu")}
    cannot = {
        **UNKNOWN,
        "a class token": lambda c: c.class_token,
        "a norm after the pool": lambda c: c.norm_after_pool,
        "a head after the pool of attention": lambda c: c.pool == "map" and c.num_classes,
        "an average without a head": lambda c: c.pool == "average" and not c.num_classes,
    }

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        self.patches(tensors, facts)  # of NaFlex, which has these names too, says so
        return super().unnamed(tensors, facts)

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, patch_size = self.patches(tensors, facts)
        return {
            "channels": channels,
            "patch_size": patch_size,
            "class_token": False,
            "pool": self._pool(tensors, facts),
            "prefix_tokens": 0,
            **self.encoder_fields(tensors, facts, width),
            **head(tensors, "classifier.weight", "classifier.bias", outputs_first=True),
        }

    def patches(self, tensors: Tensors, facts: Facts) -> tuple[int, int, tuple[int, ...]]:
        """Width, channels, and height and width of a patch."""
        spec = tensors.specs.get(f"{_PATCHES}.weight")
        if spec is not None and len(spec.shape) == 2:
            raise UserError(
                f"{tensors.source}: projects patches of images of any size (NaFlex, SigLIP 2); put "
                "its config.json next to it, which tells how large they are."
            )
        width, channels, *patch_size = tensors.shape(f"{_PATCHES}.weight", 4)
        return width, channels, tuple(patch_size)

    def _pool(self, tensors: Tensors, facts: Facts) -> str:
        if self.classifies(tensors, facts):
            return "average"
        found = "head.probe" in tensors
        told = facts.get("settings", {}).get("vision_use_head", found)
        if found != bool(told):
            raise UserError(
                f"{tensors.source}: the config.json next to it says vision_use_head={told!r}, the "
                f"tensors have {'a' if found else 'no'} pool. One of them belongs to another model."
            )
        if found:
            return "map"
        if facts.get("pool") != "average":
            raise UserError(
                f"{tensors.source}: has neither pool nor classifier, and SigLIP returns all tokens "
                "then. To average them, say so with pool='average'."
            )
        return "average"

    def encoder_json(self, config: ViTConfig) -> Settings:
        return super().encoder_json(config) | {"vision_use_head": config.pool == "map"}


class Siglip2(Siglip):
    """NaFlex at a fixed grid: every image fills all patches, so that nothing is masked."""

    name = "hf_siglip2"
    library_name = "Siglip2"
    kind = "siglip2"
    kinds = {name: {**_USUAL, "num_patches": 256} for name in ("siglip2", "siglip2_vision_model")}
    towers = ("siglip2",)
    # Its patches are flattened as ours are, channels last.
    dialects = {"hf_siglip2": (row(_PROJECTION, f"{_PATCHES}.weight", DENSE), *_SHARED)}
    resampling = Resampling("bilinear_antialias")

    def settings(self, config: Settings, source: str) -> Settings:
        found = super().settings(config, source)
        patch, patches = found["patch_size"], found["num_patches"]
        if not all(type(n) is int and 0 < n <= 2**20 for n in (patch, patches)):
            raise UserError(
                f"{source}: expected whole numbers as patch_size and num_patches, received "
                f"{str(patch)[:40]} and {str(patches)[:40]}."
            )
        side = math.isqrt(patches) * patch
        return {**found, "image_size": side}

    def patches(self, tensors: Tensors, facts: Facts) -> tuple[int, int, tuple[int, ...]]:
        width, numbers = tensors.shape(f"{_PATCHES}.weight", 2)
        side = facts.get("settings", {}).get("patch_size")
        if not side or numbers % side**2:
            raise UserError(
                f"{tensors.source}: {numbers} numbers in a patch; expected a config.json next to "
                f"it that tells how large patches are, received patch_size={side}."
            )
        return width, numbers // side**2, (side, side)

    def inputs(self, model: Any, images: Any) -> dict[str, Any]:
        import torch

        batch, channels, height, width = images.shape
        patch = getattr(model.config, "vision_config", model.config).patch_size
        grid = height // patch, width // patch
        # (B, C, rows, P, columns, P) -> (B, N, P * P * C)
        patches = images.reshape(batch, channels, grid[0], patch, grid[1], patch)
        patches = patches.permute(0, 2, 4, 3, 5, 1).reshape(batch, grid[0] * grid[1], -1)
        return {
            "pixel_values": patches,
            "pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.int32),
            "spatial_shapes": torch.tensor([grid] * batch),
        }

    def encoder_json(self, config: ViTConfig) -> Settings:
        found = super().encoder_json(config) | {"num_patches": config.num_patches}
        return {name: value for name, value in found.items() if name != "image_size"}

    def sidecars(self, config: ViTConfig, view: View) -> dict[str, Settings]:
        found = super().sidecars(config, view)
        processor = {
            **found["preprocessor_config.json"],
            "image_processor_type": "Siglip2ImageProcessor",
            "patch_size": config.patch_size[0],
            "max_num_patches": config.num_patches,
        }
        del processor["size"]
        return {**found, "preprocessor_config.json": processor}
