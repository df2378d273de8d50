# SPDX-License-Identifier: MIT
"""What the tensors of a checkpoint do not say, from the JSON files beside it.

Facts are fields of `ViTConfig` under their own names; what nobody says is left out.
"""

import json
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.formats.sidecar import read_json

# The key under which our own files keep facts in the header of a .safetensors file.
METADATA_KEY = "keras_vit"
_KEPT = ("heads", "gelu", "norm_epsilon", "pool", "pool_includes_prefix", "image_size")
_KEPT += ("pixel_mean", "pixel_std")

HF_GELU = {
    "gelu": "exact",
    "gelu_python": "exact",
    "gelu_new": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
}
TIMM_GELU = {"gelu": "exact", "gelu_tanh": "tanh"}
_TIMM_POOLS = {"token": "token", "avg": "average", "map": "map"}


def facts_beside(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """Collects facts from a file's own metadata and from the JSON files in its folder.

    Args:
        path: a file of weights, or a folder.
        metadata: the header's text of a .safetensors file.

    Raises:
        UserError: where a JSON file asks for something that the model cannot do.
    """
    folder = path if path.is_dir() else path.parent
    config_file = folder / "config.json"
    config = read_json(config_file)
    facts: dict[str, Any] = {}
    if config.get("model_type") in ("vit", "deit"):
        facts |= _hugging_face(config, str(config_file))
    elif "architecture" in config:
        facts |= _timm(config, str(config_file))
    facts |= _preprocessor(read_json(folder / "preprocessor_config.json"))
    return facts | _from_metadata(metadata)


def to_metadata(config: ViTConfig) -> dict[str, str]:
    """The text that `facts_beside` reads back; PyTorch's readers want the format too."""
    kept = {name: getattr(config, name) for name in _KEPT}
    return {"format": "pt", METADATA_KEY: json.dumps(kept)}


def _from_metadata(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        values = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"expected JSON under {METADATA_KEY!r} in the header of the file.")
    return {name: value for name, value in values.items() if name in _KEPT}


def _hugging_face(config: dict, source: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "heads": config.get("num_attention_heads"),
        "norm_epsilon": config.get("layer_norm_eps", 1e-12),
        "width": config.get("hidden_size"),
        "depth": config.get("num_hidden_layers"),
        "mlp_width": config.get("intermediate_size"),
        "gelu": _translated(HF_GELU, config.get("hidden_act", "gelu"), "hidden_act", source),
        "image_size": _size(config.get("image_size", 224)),
    }
    _translated({"tanh": "tanh"}, config.get("pooler_act", "tanh"), "pooler_act", source)
    return {name: value for name, value in facts.items() if value is not None}


def _timm(config: dict, source: str) -> dict[str, Any]:
    arguments = config.get("model_args") or {}
    pretrained = config.get("pretrained_cfg") or {}
    size = arguments.get("img_size") or (pretrained.get("input_size") or [None])[1:]
    pool = arguments.get("global_pool", config.get("global_pool"))
    facts: dict[str, Any] = {
        "heads": arguments.get("num_heads"),
        "image_size": _size(size) if size else None,
        "pool": _translated(_TIMM_POOLS, pool, "global_pool", source) if pool else None,
        "pool_includes_prefix": arguments.get("pool_include_prefix"),
        "pixel_mean": pretrained.get("mean"),
        "pixel_std": pretrained.get("std"),
    }
    if "act_layer" in arguments:
        facts["gelu"] = _translated(TIMM_GELU, arguments["act_layer"], "act_layer", source)
    elif "quickgelu" in config["architecture"]:
        _translated(TIMM_GELU, "quick_gelu", "act_layer", source)
    return {name: value for name, value in facts.items() if value is not None}


def _preprocessor(config: dict) -> dict[str, Any]:
    """Pixel statistics for pixels / 255, whatever factor the file rescales by."""
    if not config:
        return {}
    factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    normalises = config.get("do_normalize", True)
    mean = config.get("image_mean", [0.5] * 3) if normalises else [0.0]
    std = config.get("image_std", [0.5] * 3) if normalises else [1.0]
    unit = 255 * factor
    if abs(unit - 1) > 1e-6:
        mean, std = [m / unit for m in mean], [s / unit for s in std]
    return {"pixel_mean": mean, "pixel_std": std}


def _translated(table: dict[str, str], value: Any, field: str, source: str) -> str:
    if value not in table:
        raise UserError(
            f"{source}: {field} is {value!r}; the model here can do {', '.join(table)}."
        )
    return table[value]


def _size(value: Any) -> Any:
    """Lists of JSON as tuples; (channels, height, width) is cut to the last two."""
    return tuple(value[-2:]) if isinstance(value, list | tuple) else value
