# SPDX-License-Identifier: MIT
"""What the tensors of a checkpoint do not say, from the JSON files beside it.

Facts are fields of `ViTConfig` under their own names; what nobody says is left out. `named` is what
told them apart from guesses: the name of an architecture, a model type, or our own header.
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypedDict

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json
from keras_vit.untrusted.schema import Between, Sized, check
from keras_vit.weights.architectures import POOLS, architecture_row, row_facts
from keras_vit.weights.formats.sidecar import read_json

# The key under which our own files keep facts in the header of a .safetensors file.
METADATA_KEY = "keras_vit"
_KEPT = ("num_heads", "gelu", "norm_epsilon", "pool", "pool_includes_prefix", "image_size")
_KEPT += ("pixel_mean", "pixel_std")

HF_GELU = {
    "gelu": "exact",
    "gelu_python": "exact",
    "gelu_new": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
}
TIMM_GELU = {"gelu": "exact", "gelu_tanh": "tanh"}

# model_type: the epsilon of its norms where config.json does not say it.
_HF_EPSILON = {"vit": 1e-12, "deit": 1e-12, "vit_mae": 1e-12, "vit_msn": 1e-6}
_HF_EPSILON |= {"beit": 1e-12, "data2vec-vision": 1e-12}
_HF_UNLIKE = {
    "dinov2": "LayerScale and a head on the class token and the mean, under names of its own",
    "dinov2_with_registers": "registers and a head on the class token and the mean",
    "dinov3_vit": "rotary positions",
    "clip_vision_model": "a norm before the encoder and quick GELU",
    "clip": "a norm before the encoder and quick GELU",
    "metaclip_2": "a norm before the encoder and quick GELU",
    "metaclip_2_vision_model": "a norm before the encoder and quick GELU",
    "chinese_clip": "a norm before the encoder and quick GELU",
    "chinese_clip_vision_model": "a norm before the encoder and quick GELU",
    "siglip": "a pool of attention with a norm of its own, under other names",
    "siglip_vision_model": "a pool of attention with a norm of its own, under other names",
    "siglip2": "positions for any size of image (NaFlex)",
    "siglip2_vision_model": "positions for any size of image (NaFlex)",
    "ijepa": "no class token, and an average after the last norm, under names of its own",
    "aimv2": "RMSNorm and a gated MLP",
    "aimv2_vision_model": "RMSNorm and a gated MLP",
    "tipsv2": "registers and LayerScale under names of its own",
    "tipsv2_vision_model": "registers and LayerScale under names of its own",
    "pixio": "several class tokens",
    "radio": "no norm after the last block",
    "internvl_vision": "LayerScale and norms of queries and keys under names of its own",
}
# Fields of BEiT and Data2Vec that have to be off, and what they mean.
_BEIT = {
    "use_relative_position_bias": "relative position bias",
    "use_shared_relative_position_bias": "relative position bias",
}

# Arguments of timm's constructor that add, remove or reshape tensors, so that these tell them...
_TIMM_IN_TENSORS = {
    *("patch_size", "in_chans", "embed_dim", "depth", "mlp_ratio", "class_token", "fc_norm"),
    *("reg_tokens", "no_embed_class", "init_values", "qk_norm", "qkv_bias", "proj_bias"),
    *("pre_norm", "final_norm", "num_classes"),
}
# ... that matter to training or to other sizes alone ...
_TIMM_IN_TRAINING = {
    *("drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
    *("drop_path_rate", "weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad"),
    "strict_img_size",
}
# ... and that are read here.
_TIMM_READ = {"num_heads", "img_size", "global_pool", "pool_include_prefix", "act_layer"}


class _Header(TypedDict, total=False):
    pool: str
    image_size: Annotated[list[Annotated[int, Between(1, limits.IMAGE_SIDE)]], Sized(2, 2)]


def facts_beside(
    path: Path, metadata: dict[str, str], architecture: str | None, home: str
) -> dict[str, Any]:
    """Collects facts from a file's own metadata and from the JSON files in its folder.

    Args:
        path: a file of weights, or a folder.
        metadata: the header's text of a .safetensors file.
        architecture: what the caller says that timm calls it; it goes before config.json.
        home: whose names the tensors have. The config.json of another home is of another model and
            tells nothing.

    Raises:
        UserError: where a name or a JSON file asks for something that the model cannot do.
    """
    if architecture is not None and home != "timm":
        raise UserError(
            f"{path}: architecture= is the name of a model of timm; the tensors have names of "
            f"{home}. Leave it out."
        )
    config, source = config_beside(path)
    facts: dict[str, Any] = {}
    if home == "timm" and (architecture is not None or "architecture" in config):
        facts |= _timm(config, source, architecture)
    elif home == "hf" and "architecture" not in config and "model_type" in config:
        facts |= _hugging_face(config, source)
    if home in ("timm", "hf"):
        facts |= _preprocessor(read_json(Path(source).with_name("preprocessor_config.json")))
    return facts | _from_metadata(metadata, str(path))


def config_beside(path: Path) -> tuple[dict[str, Any], str]:
    """The `config.json` in the folder of a checkpoint, `{}` without one, and its path.

    Raises:
        UserError: for a model of transformers that cannot be computed here: nobody here knows the
            names of its tensors, so that it is told by its own name first.
    """
    file = (path if path.is_dir() else path.parent) / "config.json"
    config = {} if path.suffix == ".npz" else read_json(file)
    if "model_type" in config and "architecture" not in config:
        _hugging_face(config, str(file))
    return config, str(file)


def to_metadata(config: ViTConfig) -> dict[str, str]:
    """The text that `facts_beside` reads back; PyTorch's readers want the format too."""
    kept = {name: getattr(config, name) for name in _KEPT}
    return {"format": "pt", METADATA_KEY: json.dumps(kept)}


def _from_metadata(metadata: dict[str, str], source: str) -> dict[str, Any]:
    text = metadata.get(METADATA_KEY, "{}")
    values = parse_json(text, f"{source}: {METADATA_KEY!r} in its header", _Header)
    kept = {name: value for name, value in values.items() if name in _KEPT}
    return {**kept, "named": "its own header"} if kept else {}


def _hugging_face(config: dict, source: str) -> dict[str, Any]:
    kind = check(config["model_type"], str, f"{source}: model_type")
    if kind not in _HF_EPSILON:
        has = _HF_UNLIKE.get(kind, "what is not known here")
        known = ", ".join(_HF_EPSILON)
        raise UserError(
            f"{source}: model_type {kind!r} has {has}; the models of transformers that can be read "
            f"are {known}."
        )
    for field, feature in _BEIT.items():
        if config.get(field):
            raise UserError(f"{source}: {field}: the model has {feature}, the model here has not.")
    facts: dict[str, Any] = {
        "named": f"model_type {kind}",
        "num_heads": config.get("num_attention_heads"),
        "norm_epsilon": config.get("layer_norm_eps", _HF_EPSILON[kind]),
        "width": config.get("hidden_size"),
        "depth": config.get("num_hidden_layers"),
        "mlp_dim": config.get("intermediate_size"),
        "gelu": _translated(HF_GELU, config.get("hidden_act", "gelu"), "hidden_act", source),
        "image_size": _size(config.get("image_size", 224), source),
    }
    _translated({"tanh": "tanh"}, config.get("pooler_act", "tanh"), "pooler_act", source)
    return {name: value for name, value in facts.items() if value is not None}


def _timm(config: dict, source: str, architecture: str | None) -> dict[str, Any]:
    name = architecture or config["architecture"]
    row = architecture_row(name)
    if row.get("unlike"):
        raise UserError(
            f"architecture {name}: has {', '.join(row['unlike'])}; the model here does not."
        )
    arguments = config.get("model_args") or {}
    _check_arguments(arguments, source)
    pretrained = config.get("pretrained_cfg") or {}
    size = arguments.get("img_size") or pretrained.get("input_size")
    pool = arguments.get("global_pool", config.get("global_pool"))
    told: dict[str, Any] = {
        # timm keeps the number of heads of the architecture when only the width is changed.
        "num_heads": arguments.get(
            "num_heads", row.get("num_heads") if "embed_dim" in arguments else None
        ),
        "image_size": _size(size, source) if size else None,
        "pool": None if pool is None else _translated(POOLS, pool, "global_pool", source),
        "pool_includes_prefix": arguments.get("pool_include_prefix"),
        "pixel_mean": pretrained.get("mean"),
        "pixel_std": pretrained.get("std"),
    }
    if "act_layer" in arguments:
        told["gelu"] = _translated(TIMM_GELU, arguments["act_layer"], "act_layer", source)
    usual = {field: value for field, value in row_facts(row).items() if value is not None}
    # The heads of another width are not those of this one.
    usual["heads_of_width"] = usual.pop("num_heads", None), row.get("width")
    known = {field: value for field, value in told.items() if value is not None}
    return {"named": f"architecture {name}", **usual, **known}


def _check_arguments(arguments: dict[str, Any], source: str) -> None:
    known = _TIMM_IN_TENSORS | _TIMM_IN_TRAINING | _TIMM_READ | {"pos_embed"}
    odd = [f"{name}={value!r}"[:80] for name, value in arguments.items() if name not in known]
    if arguments.get("pos_embed", "learn") not in ("learn", "none", ""):
        odd.append(f"pos_embed={arguments['pos_embed']!r}"[:80])
    if odd:
        raise UserError(
            f"{source}: model_args has {', '.join(odd)}: what that changes is not known here, and "
            "the tensors do not tell it."
        )


def _preprocessor(config: dict) -> dict[str, Any]:
    """Pixel statistics for pixels / 255, whatever factor the file rescales by."""
    if not config:
        return {}
    factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    normalises = config.get("do_normalize", True)
    unit = 255 * factor
    unit = unit if abs(unit - 1) > 1e-6 else 1.0
    names = {"pixel_mean": ("image_mean", [0.0]), "pixel_std": ("image_std", [1.0])}
    facts = {}
    for field, (name, without) in names.items():
        told = config.get(name) if normalises else without
        numbers = [0.5] * 3 if told is None else told if isinstance(told, list) else [told]
        facts[field] = [number / unit for number in numbers]
    return facts


def _translated(table: dict[str, str], value: Any, field: str, source: str) -> str:
    if not isinstance(value, str) or value not in table:
        raise UserError(
            f"{source}: {field} is {value!r}; the model here can do {', '.join(table)}."
        )
    return table[value]


def _size(value: Any, source: str) -> tuple[int, int]:
    """Height and width; (channels, height, width) is cut to the last two."""
    sides = (value, value) if isinstance(value, int) else value
    if not isinstance(sides, list | tuple) or not all(type(side) is int for side in sides[-2:]):
        raise UserError(f"{source}: image size: expected pixels, received {str(value)[:80]!r}.")
    if len(sides) not in (2, 3):
        raise UserError(
            f"{source}: image size: expected height and width, received {str(sides)[:80]}."
        )
    return tuple(sides[-2:])
