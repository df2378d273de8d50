# SPDX-License-Identifier: MIT
"""timm's Vision Transformers of a fixed grid: `VisionTransformer` with DeiT and hybrids, `Eva`,
`Beit`, `VisionTransformerRelPos`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.preprocessing import View
from keras_vit.untrusted.schema import check
from keras_vit.weights.adapter import Adapter, Taps
from keras_vit.weights.adapters import timm_relative, timm_writing
from keras_vit.weights.adapters.timm_architectures import facts_by_names
from keras_vit.weights.adapters.timm_arguments import Config, facts_of
from keras_vit.weights.adapters.timm_tables import kind_of, rotary_layout, rules
from keras_vit.weights.binding import Binding, bind
from keras_vit.weights.config_files import Facts, preprocessor_facts
from keras_vit.weights.formats import Checkpoint
from keras_vit.weights.infer import Tensors, first_pool, head, heads
from keras_vit.weights.resample import Resampling

if TYPE_CHECKING:
    from keras_vit.weights.source import Source


class Timm(Adapter):
    """Names, and with an architecture's name all that the tensors do not tell."""

    name = "timm"
    dialects = {"timm": rules(ViTConfig())}
    landmarks = ("patch_embed.proj.weight",)
    prefixes: tuple[str, ...] = (
        *("", "module.", "backbone.", "model.", "module.backbone.", "timm_model."),
    )
    # Of masked-image pre-training; indices that are computed; unused bias of keys.
    beside: tuple[str, ...] = (
        *("mask_token", "*relative_position_index", "*.rel_coords_log", "*.attn.k_bias"),
    )
    older: tuple[tuple[str, str], ...] = (  # of DeiT-3 and DINOv2, and of EVA and BEiT to this day
        (r"register_tokens", "reg_token"),
        (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
        # of the releases of EVA-02
        (r"(blocks\.\d+\.mlp)\.ffn_ln\.(.*)", r"\1.norm.\2"),
        (r"(blocks\.\d+\.attn)\.inner_attn_ln\.(.*)", r"\1.norm.\2"),
    )
    resampling = Resampling("bicubic_antialias", "bicubic_antialias", "geometric")
    written_to: tuple[str, ...] = (".safetensors", "folder")
    says = timm_writing.SAYS
    cannot = timm_writing.CANNOT
    tableless = ("none",)
    takes_architecture = True
    reference: str | None = "timm"

    def describes(self, config: dict[str, Any]) -> bool:
        return "architecture" in config

    def facts(self, config: dict[str, Any], file: Path, architecture: str | None) -> Facts:
        found: Facts = {}
        if architecture is not None or config:
            found = facts_of(check(config, Config, str(file)), str(file), architecture)
        return found | preprocessor_facts(file)

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        width = tensors.specs["patch_embed.proj.weight"].shape[0]
        mlp_dim, gated = _mlp(tensors)
        sizes = width, tensors.count(r"blocks\.(\d+)\."), mlp_dim
        spellings = tensors.file_names, tuple(tensors.specs)
        return facts_by_names(spellings, sizes, gated, facts, tensors.source)

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("patch_embed.proj.weight", 4)
        rows = tensors.shape("pos_embed", 3)[1] if "pos_embed" in tensors else None
        registers = tensors.shape("reg_token", 3)[1] if "reg_token" in tensors else 0
        classes = int("cls_token" in tensors) + int("dist_token" in tensors)
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "class_token": "cls_token" in tensors,
            "distillation_token": "dist_token" in tensors,
            "register_tokens": registers,
            "position": "none" if rows is None else "learned",
            "patch_bias": "patch_embed.proj.bias" in tensors,
            "patch_norm": "patch_embed.norm.weight" in tensors,
            "relative_position_bias": timm_relative.has_bias(tensors),
            "position_rows": rows,
            # The table can cover all tokens before the patches, the class token alone, or none.
            "prefix_tokens": (classes + registers, classes, 0),
            **encoder_fields(width, tensors, facts),
            **_stem_fields(tensors),
        }

    def config(self, tensors: Tensors, facts: Facts) -> ViTConfig:
        facts = self.completed(tensors, facts)
        config = super().config(tensors, self.sized(tensors, facts))
        layout = facts.get("rotary_layout")
        if config.rotary != "none" and layout not in (None, rotary_layout(config)):
            raise UserError(
                f"{tensors.source}: rotary positions turn {layout}; of such a model with "
                f"rotary={config.rotary!r} the model here knows {rotary_layout(config)!r} alone."
            )
        return config

    def sized(self, tensors: Tensors, facts: Facts) -> Facts:
        """The facts, where a file is of the size that is asked for: it makes its positions."""
        return timm_relative.sized(tensors, facts)

    def computed(self, checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
        return timm_relative.with_tables(checkpoint, config, facts)

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        return bind(dialect, rules(config), config, self.placeholders(config))

    def placeholders(self, config: ViTConfig) -> dict[str, str]:
        return {
            "stem": "patch_embed.backbone.stem" if config.resnet_stages else "patch_embed.backbone",
            "final_norm": "fc_norm" if config.norm_after_pool else "norm",
        }

    def written_name(self, name: str, config: ViTConfig) -> str:
        if kind_of(config) in ("Eva", "Beit"):
            name = name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")
        return name

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        classes, registers = config.class_token_in_positions, config.register_tokens_in_positions
        if config.distillation_token or kind_of(config) == "Beit":
            return True, registers
        # timm's table has rows for all tokens, or for patches alone.
        return classes, registers or bool(classes and config.class_token and config.register_tokens)

    def biases_for(self, config: ViTConfig) -> dict[str, object]:
        return timm_writing.biases(config)

    def sidecars(self, config: ViTConfig, view: View) -> dict[str, dict[str, Any]]:
        return {"config.json": timm_writing.config_json(config, view)}

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        from keras_vit.weights.parity import timm_reference

        return timm_reference.run(source, images)


def encoder_fields(width: int, tensors: Tensors, facts: Facts) -> dict[str, Any]:
    """The fields of everything after the embeddings, which all classes of timm name alike."""
    qk_norm = "blocks.0.attn.q_norm.weight" in tensors
    head_dim = tensors.shape("blocks.0.attn.q_norm.weight", 1)[0] if qk_norm else None
    after_pool = "fc_norm.weight" in tensors
    pool = first_pool(tensors, "attn_pool.latent", "cls_token")
    if pool == "token" and (after_pool or facts.get("pool") == "average"):
        pool = "average"
    mlp_dim, gated = _mlp(tensors)
    own = "attn_pool.mlp.fc1.weight"
    norm, projection = "blocks.0.norm1", "blocks.0.attn.proj"
    return {
        "width": width,
        "depth": tensors.count(r"blocks\.(\d+)\."),
        "mlp_dim": mlp_dim,
        "num_heads": heads(width, head_dim, facts, tensors.source),
        "gated_mlp": gated,
        "mlp_inner_norm": "blocks.0.mlp.norm.weight" in tensors,
        "attention_inner_norm": "blocks.0.attn.norm.weight" in tensors,
        "qkv_bias": _qkv_bias(tensors),
        "dense_bias": f"{projection}.bias" in tensors,
        "norm": "layer" if f"{norm}.bias" in tensors else "rms",
        "embedding_norm": "norm_pre.weight" in tensors,
        "final_norm": after_pool or "norm.weight" in tensors,
        "pool": pool,
        "pool_mlp_dim": tensors.shape(own, 2)[0] if own in tensors else 0,
        "norm_after_pool": after_pool and pool == "average",
        "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in tensors else None,
        "qk_norm": qk_norm,
        "activation": "silu" if gated else "gelu",
        "norm_epsilon": 1e-6,
        **head(tensors, "head.weight", "head.bias", outputs_first=True),
    }


def _qkv_bias(tensors: Tensors) -> str:
    names = [f"blocks.0.attn.{name}" for name in ("qkv.bias", "k_proj.bias")]
    if any(name in tensors for name in names):
        return "all"
    names = [f"blocks.0.attn.{name}" for name in ("q_bias", "q_proj.bias")]
    return "query_value" if any(name in tensors for name in names) else "none"


def _mlp(tensors: Tensors) -> tuple[int, bool]:
    """The width of the MLP where its last layer reads it, and whether it is gated."""
    last, first, gate = (f"blocks.0.mlp.{name}.weight" for name in ("fc2", "fc1", "fc1_g"))
    if last not in tensors and first not in tensors:
        return 0, False
    read = tensors.shape(last, 2)[1]
    if gate in tensors:
        return read, True
    made = tensors.shape(first, 2)[0]
    if made not in (read, 2 * read):
        raise UserError(
            f"{tensors.source}: the MLP makes {made} numbers and reads {read}: expected as many, "
            "or twice as many of a gated MLP (SwiGLU)."
        )
    return read, made == 2 * read


def _stem_fields(tensors: Tensors) -> dict[str, Any]:
    alone = "patch_embed.backbone.conv.weight"
    root = alone if alone in tensors else "patch_embed.backbone.stem.conv.weight"
    if root not in tensors:
        return {}
    width, channels, _, _ = tensors.shape(root, 4)
    stages = tensors.count(r"patch_embed\.backbone\.stages\.(\d+)\.")
    units = tuple(
        tensors.count(rf"patch_embed\.backbone\.stages\.{stage}\.blocks\.(\d+)\.")
        for stage in range(stages)
    )
    return {
        "channels": channels,
        "resnet_width": width,
        "resnet_stages": units,
        "resnet_form": "timm",
    }
