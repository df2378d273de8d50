# SPDX-License-Identifier: MIT
"""timm's VisionTransformer, VisionTransformerDistilled and hybrids."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from keras_vit.config import HYBRIDS, ViTConfig
from keras_vit.errors import UserError
from keras_vit.untrusted.schema import check
from keras_vit.weights.adapter import Adapter, Taps
from keras_vit.weights.adapters.timm_architectures import (
    POOLS,
    architecture_row,
    facts_by_names,
    row_facts,
)
from keras_vit.weights.config_files import (
    Facts,
    Side,
    each_channel,
    image_size,
    one_or_two,
    preprocessor_facts,
    translated,
)
from keras_vit.weights.infer import Tensors, first_pool, head, heads
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    CONVOLUTION,
    PATCHES_TORCH,
    Rule,
    row,
    torch_dense,
    torch_heads_in,
    torch_heads_out,
    torch_norm,
)

if TYPE_CHECKING:
    from keras_vit.weights.source import Source

_OUR_UNIT = "resnet_stem/block{stage}_unit{unit}"
_UNIT = "patch_embed.backbone.stages.{stage0}.blocks.{unit0}"
_STEM: list[Rule] = [
    row("resnet_stem/root_conv/kernel", "{stem}.conv.weight", CONVOLUTION),
    *torch_norm("resnet_stem/root_norm", "{stem}.norm"),
    *[
        rule
        for ours, conv, norm in (
            ("1", "conv1", "norm1"),
            ("2", "conv2", "norm2"),
            ("3", "conv3", "norm3"),
            ("_proj", "downsample.conv", "downsample.norm"),
        )
        for rule in [
            row(f"{_OUR_UNIT}/conv{ours}/kernel", f"{_UNIT}.{conv}.weight", CONVOLUTION),
            *torch_norm(f"{_OUR_UNIT}/norm{ours}", f"{_UNIT}.{norm}"),
        ]
    ],
]
_QKV = ("query", "key", "value")
_RULES: tuple[Rule, ...] = (
    *_STEM,
    row("patch_encoder/projection/kernel", "patch_embed.proj.weight", PATCHES_TORCH),
    row("patch_encoder/projection/bias", "patch_embed.proj.bias"),
    row("patch_encoder/class_embedding", "cls_token"),
    row("patch_encoder/distillation_embedding", "dist_token"),
    row("patch_encoder/register_embedding", "reg_token"),
    row("patch_encoder/position_embedding", "pos_embed"),
    *torch_norm("block_{block}/attention_norm", "blocks.{block}.norm1"),
    *torch_heads_in("block_{block}/attention", _QKV, "blocks.{block}.attn.qkv", optional=True),
    *torch_norm("block_{block}/attention/query_norm", "blocks.{block}.attn.q_norm"),
    *torch_norm("block_{block}/attention/key_norm", "blocks.{block}.attn.k_norm"),
    *torch_heads_out("block_{block}/attention", "blocks.{block}.attn.proj"),
    row("block_{block}/attention_scale/gamma", "blocks.{block}.ls1.gamma"),
    *torch_norm("block_{block}/mlp_norm", "blocks.{block}.norm2"),
    *torch_dense("block_{block}/mlp/hidden", "blocks.{block}.mlp.fc1"),
    *torch_dense("block_{block}/mlp/output_projection", "blocks.{block}.mlp.fc2"),
    row("block_{block}/mlp_scale/gamma", "blocks.{block}.ls2.gamma"),
    *torch_norm("encoder_norm", "{final_norm}"),
    row("pool/probe", "attn_pool.latent"),
    *torch_heads_in("pool/attention", ("query",), "attn_pool.q"),
    *torch_heads_in("pool/attention", ("key", "value"), "attn_pool.kv"),
    *torch_heads_out("pool/attention", "attn_pool.proj"),
    *torch_norm("pool/mlp_norm", "attn_pool.norm"),
    *torch_dense("pool/mlp/hidden", "attn_pool.mlp.fc1"),
    *torch_dense("pool/mlp/output_projection", "attn_pool.mlp.fc2"),
    *torch_dense("head", "head"),
    *torch_dense("distillation_head", "head_dist"),
)


class _Arguments(TypedDict, total=False):
    img_size: Side
    act_layer: str | None
    global_pool: str | None


class _Pretrained(TypedDict, total=False):
    input_size: list[int] | None
    mean: float | list[float] | None
    std: float | list[float] | None


class _Config(TypedDict, total=False):
    architecture: str
    global_pool: str | None
    model_args: _Arguments | None
    pretrained_cfg: _Pretrained | None


_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_tanh"}
# Arguments of timm's constructor that add, remove or reshape tensors, so that these tell them...
_IN_TENSORS = {
    *("patch_size", "in_chans", "embed_dim", "depth", "mlp_ratio", "class_token", "fc_norm"),
    *("reg_tokens", "no_embed_class", "init_values", "qk_norm", "qkv_bias", "proj_bias"),
    *("pre_norm", "final_norm", "num_classes"),
}
# ... that matter to training or to other sizes alone ...
_IN_TRAINING = {
    *("drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
    *("drop_path_rate", "weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad"),
    "strict_img_size",
}
# ... and that are read here.
_READ = {"num_heads", "img_size", "global_pool", "pool_include_prefix", "act_layer"}

# timm builds the ResNet of a hybrid by the name of the architecture alone.
_HYBRIDS = {
    "R+Ti/16": "vit_tiny_r_s16_p8_224",
    "R26+S/32": "vit_small_r26_s32_224",
    "R26+B/32": "vit_base_r26_s32_224",
    "R50+B/16": "vit_base_r50_s16_224",
    "R50+L/32": "vit_large_r50_s32_224",
}


class Timm(Adapter):
    """Names, and with an architecture's name all that the tensors do not tell."""

    name = "timm"
    dialects = {"timm": _RULES}
    landmarks = ("patch_embed.proj.weight",)
    prefixes = ("", "module.", "backbone.", "model.", "module.backbone.", "timm_model.")
    beside = ("mask_token",)  # of masked-image pre-training
    older = (  # of DeiT-3 and DINOv2
        (r"register_tokens", "reg_token"),
        (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
    )
    resampling = Resampling("bicubic_antialias", "bicubic_antialias")
    written_to = (".safetensors", "folder")
    cannot = {
        "a tanh layer before the head": lambda c: c.representation_size > 0,
        "registers with a distillation token": lambda c: c.distillation_token and c.register_tokens,
        "vision_transformer's form of the ResNet stem": lambda c: (
            c.resnet_stages is not None and c.resnet_form == "flax"
        ),
    }
    tableless = ("none",)
    takes_architecture = True
    reference = "timm"

    def describes(self, config: dict[str, Any]) -> bool:
        return "architecture" in config

    def facts(self, config: dict[str, Any], file: Path, architecture: str | None) -> Facts:
        found: Facts = {}
        if architecture is not None or config:
            found = _facts(check(config, _Config, str(file)), str(file), architecture)
        return found | preprocessor_facts(file)

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        width = tensors.shape("patch_embed.proj.weight", 4)[0]
        hidden = "blocks.0.mlp.fc1.weight"
        mlp_dim = tensors.shape(hidden, 2)[0] if hidden in tensors else 0
        sizes = width, tensors.count(r"blocks\.(\d+)\."), mlp_dim
        return facts_by_names(tensors.file_names, sizes, facts, tensors.source)

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("patch_embed.proj.weight", 4)
        qk_norm = "blocks.0.attn.q_norm.weight" in tensors
        head_dim = tensors.shape("blocks.0.attn.q_norm.weight", 1)[0] if qk_norm else None
        pool = first_pool(tensors, "attn_pool.latent", "cls_token")
        if pool == "token" and ("fc_norm.weight" in tensors or facts.get("pool") == "average"):
            pool = "average"
        rows = tensors.shape("pos_embed", 3)[1] if "pos_embed" in tensors else None
        registers = tensors.shape("reg_token", 3)[1] if "reg_token" in tensors else 0
        classes = int("cls_token" in tensors) + int("dist_token" in tensors)
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"blocks\.(\d+)\."),
            "mlp_dim": _mlp_dim(tensors),
            "num_heads": heads(width, head_dim, facts, tensors.source),
            "class_token": "cls_token" in tensors,
            "distillation_token": "dist_token" in tensors,
            "register_tokens": registers,
            "position": "none" if rows is None else "learned",
            "pool": pool,
            "norm_after_pool": "fc_norm.weight" in tensors and pool == "average",
            "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in tensors else None,
            "qk_norm": qk_norm,
            "activation": "gelu",
            "norm_epsilon": 1e-6,
            "position_rows": rows,
            # The table can cover all tokens before the patches, the class token alone, or none.
            "prefix_tokens": (classes + registers, classes, 0),
            **head(tensors, "head.weight", "head.bias", outputs_first=True),
            **_stem_fields(tensors),
        }

    def placeholders(self, config: ViTConfig) -> dict[str, str]:
        return {
            "stem": "patch_embed.backbone.stem" if config.resnet_stages else "patch_embed.backbone",
            "final_norm": "fc_norm" if config.norm_after_pool else "norm",
        }

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        classes, registers = config.class_token_in_positions, config.register_tokens_in_positions
        if config.distillation_token:
            return True, registers
        # timm's table has rows for all tokens, or for patches alone.
        return classes, registers or bool(classes and config.class_token and config.register_tokens)

    def sidecars(self, config: ViTConfig) -> dict[str, dict[str, Any]]:
        return {"config.json": _config_json(config)}

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        from keras_vit.weights.parity import references

        timm = references.import_timm()
        model = references.timm_model(source.config)
        taps = references.run_torch(model, source, images, model.blocks)
        return taps, {"timm": timm.__version__}


def _mlp_dim(tensors: Tensors) -> int:
    made, second = tensors.shape("blocks.0.mlp.fc1.weight", 2)[0], "blocks.0.mlp.fc2.weight"
    read = tensors.shape(second, 2)[1] if second in tensors else made
    if read != made:
        raise UserError(
            f"{tensors.source}: the MLP makes {made} numbers and reads {read}: a gated MLP "
            "(SwiGLU), which the model here has not."
        )
    return made


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


def _facts(config: dict[str, Any], source: str, architecture: str | None) -> Facts:
    name = architecture or config["architecture"]
    usual = architecture_row(name)
    if usual.get("unlike"):
        raise UserError(
            f"architecture {name}: has {', '.join(usual['unlike'])}; the model here does not."
        )
    arguments = config.get("model_args") or {}
    _check_arguments(arguments, source)
    pretrained = config.get("pretrained_cfg") or {}
    size = arguments.get("img_size") or pretrained.get("input_size")
    pool = arguments.get("global_pool", config.get("global_pool"))
    told: Facts = {
        # timm keeps the number of heads of the architecture when only the width is changed.
        "num_heads": arguments.get(
            "num_heads", usual.get("num_heads") if "embed_dim" in arguments else None
        ),
        "image_size": image_size(size, source) if size else None,
        "pool": None if pool is None else translated(POOLS, pool, "global_pool", source),
        "pool_includes_prefix": arguments.get("pool_include_prefix"),
        "pixel_mean": pretrained.get("mean"),
        "pixel_std": pretrained.get("std"),
    }
    if "act_layer" in arguments:
        told["activation"] = translated(_ACTIVATIONS, arguments["act_layer"], "act_layer", source)
    found = {field: value for field, value in row_facts(usual).items() if value is not None}
    # The heads of another width are not those of this one.
    found["heads_of_width"] = found.pop("num_heads", None), usual.get("width")
    known = {field: value for field, value in told.items() if value is not None}
    return {"named": f"architecture {name}", **found, **known}


def _check_arguments(arguments: dict[str, Any], source: str) -> None:
    known = _IN_TENSORS | _IN_TRAINING | _READ | {"pos_embed"}
    odd = [f"{name}={value!r}"[:80] for name, value in arguments.items() if name not in known]
    if arguments.get("pos_embed", "learn") not in ("learn", "none", ""):
        odd.append(f"pos_embed={arguments['pos_embed']!r}"[:80])
    if odd:
        raise UserError(
            f"{source}: model_args has {', '.join(odd)}: what that changes is not known here, and "
            "the tensors do not tell it."
        )


def _config_json(config: ViTConfig) -> dict[str, Any]:
    architecture = "vit_base_patch16_224"
    if config.distillation_token:
        architecture = "deit_base_distilled_patch16_224"
    arguments = {
        "img_size": list(config.image_size),
        "patch_size": one_or_two(config.patch_size),
        "in_chans": config.channels,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "mlp_ratio": (config.mlp_dim + 0.5) / config.width,  # timm rounds down
        "class_token": config.class_token,
        "global_pool": {"token": "token", "average": "avg", "map": "map"}[config.pool],
        "pool_include_prefix": config.pool_includes_prefix,
        "fc_norm": config.norm_after_pool,
        "reg_tokens": config.register_tokens,
        "no_embed_class": config.num_prefix_positions == 0,
        "pos_embed": "none" if config.position == "none" else "learn",
        "init_values": config.layer_scale,
        "qk_norm": config.qk_norm,
        "act_layer": config.activation,
    }
    if config.norm_epsilon != 1e-6:
        raise UserError(
            f"timm's config.json cannot say norm_epsilon={config.norm_epsilon}. Write a bare "
            ".safetensors file, and make the model in timm with "
            f"norm_layer=partial(LayerNorm, eps={config.norm_epsilon})."
        )
    if config.resnet_stages is not None:
        architecture = _hybrid(config)
        arguments = {k: v for k, v in arguments.items() if k not in ("patch_size", "in_chans")}
    return {
        "architecture": architecture,
        "num_classes": config.num_classes,
        "num_features": config.width,
        "global_pool": arguments["global_pool"],
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [config.channels, *config.image_size],
            "mean": each_channel(config.pixel_mean, config),
            "std": each_channel(config.pixel_std, config),
            "num_classes": config.num_classes,
        },
    }


def _hybrid(config: ViTConfig) -> str:
    stem = (config.resnet_stages, config.resnet_width, config.patch_size)
    for name, (_, stages, patch) in HYBRIDS.items():
        if stem == (stages, 64, (patch, patch)):
            return _HYBRIDS[name]
    raise UserError(
        "timm has no architecture with this ResNet stem, so that a config.json cannot name it. "
        "Write a bare .safetensors file."
    )
