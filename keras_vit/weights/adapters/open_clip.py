# SPDX-License-Identifier: MIT
"""OpenCLIP's own encoder of images, whose names are those of OpenAI's CLIP (arXiv 2103.00020).

`open_clip_config.json` next to the file says what the tensors do not. The encoder of texts in the
same file is passed over: its tensors are never read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.preprocessing import View
from keras_vit.untrusted.schema import check
from keras_vit.weights.adapter import Adapter, Taps
from keras_vit.weights.adapters.clip import PIXEL_MEAN, PIXEL_STD
from keras_vit.weights.config_files import (
    Facts,
    Side,
    each_channel,
    image_size,
    one_or_two,
    read_json,
    translated,
)
from keras_vit.weights.infer import Tensors, check_told, heads
from keras_vit.weights.table import (
    HEADS_BIAS,
    HEADS_IN,
    ONE_TOKEN,
    PATCHES_TORCH,
    UNBATCHED,
    Rule,
    row,
    torch_dense,
    torch_heads_out,
    torch_norm,
)
from keras_vit.weights.views import of_open_clip, to_open_clip

if TYPE_CHECKING:
    from keras_vit.weights.source import Source

CONFIG = "open_clip_config.json"
_QKV = ("query", "key", "value")
_BLOCK = "transformer.resblocks.{block}"
# The names stand after `visual.`.
_RULES: tuple[Rule, ...] = (
    row("patch_encoder/projection/kernel", "conv1.weight", PATCHES_TORCH),
    row("patch_encoder/class_embedding", "class_embedding", ONE_TOKEN),
    row("patch_encoder/position_embedding", "positional_embedding", UNBATCHED),
    *torch_norm("embedding_norm", "ln_pre"),
    *torch_norm("block_{block}/attention_norm", f"{_BLOCK}.ln_1"),
    Rule(
        tuple(f"block_{{block}}/attention/{part}/kernel" for part in _QKV),
        f"{_BLOCK}.attn.in_proj_weight",
        HEADS_IN,
    ),
    Rule(
        tuple(f"block_{{block}}/attention/{part}/bias" for part in _QKV),
        f"{_BLOCK}.attn.in_proj_bias",
        HEADS_BIAS,
    ),
    *torch_heads_out("block_{block}/attention", f"{_BLOCK}.attn.out_proj"),
    row("block_{block}/attention_scale/gamma", f"{_BLOCK}.ls_1.gamma"),
    *torch_norm("block_{block}/mlp_norm", f"{_BLOCK}.ln_2"),
    *torch_dense("block_{block}/mlp/hidden", f"{_BLOCK}.mlp.c_fc"),
    *torch_dense("block_{block}/mlp/output_projection", f"{_BLOCK}.mlp.c_proj"),
    row("block_{block}/mlp_scale/gamma", f"{_BLOCK}.ls_2.gamma"),
    *torch_norm("encoder_norm", "ln_post"),
    row("head/kernel", "proj"),
)
# What lies next to `visual.` in a checkpoint with both encoders.
_TEXTS = (
    *("transformer.*", "token_embedding.*", "positional_embedding", "text_projection", "text.*"),
    *("ln_final.*", "logit_scale", "logit_bias", "attn_mask"),
    *("input_resolution", "context_length", "vocab_size"),  # of OpenAI's files
)
# What a program that trains puts before all names.
BEFORE = ("", "module.", "model.")
BESIDE = tuple(f"{before}{name}" for before in BEFORE for name in _TEXTS)


class _Vision(TypedDict, total=False):
    layers: int | list[int]
    width: int
    head_width: int
    mlp_ratio: float
    image_size: Side
    timm_model_name: str | None
    timm_pool: str
    pool_type: str
    final_ln_after_pool: bool
    act_kwargs: dict[str, Any] | None
    norm_kwargs: dict[str, Any] | None


class _Model(TypedDict, total=False):
    vision_cfg: _Vision
    quick_gelu: bool | None


class _Preprocess(TypedDict, total=False):
    mean: float | list[float] | None
    std: float | list[float] | None


class Config(TypedDict, total=False):
    """What is read of an `open_clip_config.json`."""

    model_cfg: _Model
    preprocess_cfg: _Preprocess | None


# Settings that have to be off, and what they mean.
_UNLIKE = {
    "attentional_pool": "a pool of attention with many queries (CoCa)",
    "qk_norm": "blocks of OpenCLIP's own design (qk_norm)",
    "scaled_cosine_attn": "cosine attention",
    "scale_heads": "a scale for each head",
    "scale_attn_inner": "blocks of OpenCLIP's own design (scale_attn_inner)",
    "scale_attn": "a norm after the attention",
    "scale_fc": "blocks of OpenCLIP's own design (scale_fc)",
    "timm_model_name": "an encoder of timm, which other tensors show",
}


class OpenClip(Adapter):
    """The encoder of images and its projection to the space of texts, a head without bias."""

    name = "open_clip"
    dialects = {"open_clip": _RULES}
    landmarks = ("class_embedding", "conv1.weight")
    prefixes = tuple(f"{before}visual." for before in BEFORE)
    beside = BESIDE
    written_to = ("folder",)
    says = {
        "patch_bias": (False,),
        "embedding_norm": (True,),
        "head_bias": (None,),
        "activation": ("quick_gelu",),
    }
    cannot = {
        "a model without class token": lambda c: not c.class_token,
        "a bias of the projection of patches": lambda c: c.patch_bias,
        "QK-norm": lambda c: c.qk_norm,
        "register tokens": lambda c: c.register_tokens > 0,
        "a distillation token": lambda c: c.distillation_token,
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "a tanh layer before the head": lambda c: c.representation_size > 0,
        "attention pooling": lambda c: c.pool == "map",
        "an average that reads the class token": lambda c: c.pool_includes_prefix,
        "a model without a head, or with a bias of it": lambda c: (
            not c.num_classes or c.head_bias is not None
        ),
        "images of other than three channels": lambda c: c.channels != 3,
    }
    reference = "open_clip"

    def facts(self, config: dict[str, Any], file: Path, architecture: str | None) -> Facts:
        usual: Facts = {"pixel_mean": PIXEL_MEAN, "pixel_std": PIXEL_STD}
        told = read_json(file.with_name(CONFIG), Config)
        return usual | (_facts(told, str(file.with_name(CONFIG))) if told else {})

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        check_told(tensors, facts, ("num_heads", "activation", "norm_epsilon", "pool"), CONFIG)
        if facts["pool"] != "token":
            raise UserError(
                f"{tensors.source}: nothing tells whether the norm comes before the average or "
                f"after it. Put its {CONFIG} next to it."
            )
        return {}

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("conv1.weight", 4)
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "patch_bias": False,
            "width": width,
            "depth": tensors.count(r"transformer\.resblocks\.(\d+)\."),
            "mlp_dim": tensors.shape("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "embedding_norm": "ln_pre.weight" in tensors,
            "layer_scale": 1e-5 if "transformer.resblocks.0.ls_1.gamma" in tensors else None,
            "pool": facts["pool"],
            "norm_after_pool": bool(facts.get("norm_after_average")) and facts["pool"] == "average",
            "num_classes": tensors.shape("proj", 2)[1] if "proj" in tensors else 0,
            "head_bias": None if "proj" in tensors else 0.0,
            "position_rows": tensors.shape("positional_embedding", 2)[0],
            "prefix_tokens": 1,
        }

    def written_name(self, name: str, config: ViTConfig) -> str:
        return f"visual.{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return True, False

    def sidecars(self, config: ViTConfig, view: View) -> dict[str, dict[str, Any]]:
        told = _config_json(config)
        told["preprocess_cfg"] |= to_open_clip(view, CONFIG)
        return {CONFIG: told}

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        from keras_vit.weights.parity import references

        references.import_timm()
        import open_clip
        from open_clip.model import CLIPVisionCfg, _build_vision_tower

        told = _config_json(source.config)["model_cfg"]
        vision = CLIPVisionCfg(**told["vision_cfg"])
        model = _build_vision_tower(told["embed_dim"], vision, told["quick_gelu"])
        norm = model.ln_pre if source.config.embedding_norm else None
        blocks = model.transformer.resblocks
        taps = references.run_torch(model, source, images, blocks, embedding_norm=norm)
        return taps, {"open_clip": open_clip.__version__}


def _facts(told: dict[str, Any], source: str) -> Facts:
    model = told.get("model_cfg") or {}
    vision = model.get("vision_cfg") or {}
    if not isinstance(vision.get("layers", 12), int):
        raise UserError(f"{source}: layers: the encoder is a ResNet, the model here is not.")
    for field, feature in _UNLIKE.items():
        if vision.get(field):
            raise UserError(f"{source}: {field}: the model has {feature}, the model here has not.")
    width, head_width = vision.get("width", 768), vision.get("head_width", 64)
    if not 0 < head_width <= width:
        raise UserError(f"{source}: head_width: expected 1 to {width}, received {head_width}.")
    pools = {"tok": "token", "avg": "average"}
    preprocess = told.get("preprocess_cfg") or {}
    facts: Facts = {
        "named": CONFIG,
        "width": width,
        "depth": vision.get("layers", 12),
        "mlp_dim": int(width * vision.get("mlp_ratio", 4.0)),
        "num_heads": width // head_width,
        "image_size": image_size(vision.get("image_size", 224), source),
        "activation": _activation(bool(model.get("quick_gelu")), vision, source),
        "norm_epsilon": _norm_epsilon(vision, source),
        "pool": translated(pools, vision.get("pool_type", "tok"), "pool_type", source),
        "norm_after_average": vision.get("final_ln_after_pool", False),
        "pixel_mean": preprocess.get("mean"),
        "pixel_std": preprocess.get("std"),
        "view": of_open_clip(preprocess, source),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _activation(quick: bool, vision: dict[str, Any], source: str) -> str:
    told = vision.get("act_kwargs") or {}
    if not told:
        return "quick_gelu" if quick else "gelu"
    forms = {"none": "gelu", "tanh": "gelu_tanh"}
    if quick or set(told) != {"approximate"}:
        raise UserError(f"{source}: act_kwargs is {str(told)[:80]}, which is not known here.")
    return translated(forms, told["approximate"], "act_kwargs.approximate", source)


def _norm_epsilon(vision: dict[str, Any], source: str) -> float:
    told = vision.get("norm_kwargs") or {}
    if set(told) - {"eps"}:
        raise UserError(f"{source}: norm_kwargs is {str(told)[:80]}, which is not known here.")
    return check(told.get("eps", 1e-5), float, f"{source}: norm_kwargs.eps")


def _config_json(config: ViTConfig) -> dict[str, Any]:
    ratio = config.mlp_dim / config.width
    if int(config.width * ratio) != config.mlp_dim:  # OpenCLIP rounds down
        ratio = (config.mlp_dim + 0.5) / config.width
    vision: dict[str, Any] = {
        "image_size": one_or_two(config.image_size),
        "layers": config.depth,
        "width": config.width,
        "head_width": config.head_dim,
        "mlp_ratio": ratio,
        "patch_size": one_or_two(config.patch_size),
        "ls_init_value": config.layer_scale,
        "no_ln_pre": not config.embedding_norm,
        "pool_type": {"token": "tok", "average": "avg"}[config.pool],
        "final_ln_after_pool": config.norm_after_pool,
        "norm_kwargs": {"eps": config.norm_epsilon},
    }
    if config.activation == "gelu_tanh":
        vision["act_kwargs"] = {"approximate": "tanh"}
    return {
        "model_cfg": {
            "embed_dim": config.num_classes,
            "quick_gelu": config.activation == "quick_gelu",
            "vision_cfg": vision,
        },
        "preprocess_cfg": {
            "mean": each_channel(config.pixel_mean, config),
            "std": each_channel(config.pixel_std, config),
        },
    }
