# SPDX-License-Identifier: MIT
"""What the `config.json` of timm tells: an architecture, and arguments that change it."""

from typing import Any, TypedDict

from keras_vit.errors import UserError
from keras_vit.weights.adapters.timm_architectures import (
    POOLS,
    Row,
    architecture_row,
    row_facts,
)
from keras_vit.weights.config_files import Facts, Side, image_size, translated
from keras_vit.weights.views import of_timm


class Arguments(TypedDict, total=False):
    """What is read of timm's `model_args`."""

    img_size: Side
    act_layer: str | None
    global_pool: str | None
    rope_type: str | None
    rope_temperature: float
    rope_grid_offset: float
    rope_grid_indexing: str
    rope_rotate_half: bool | None
    use_rot_pos_emb: bool | None
    ref_feat_shape: Side
    use_post_norm: bool | None
    swiglu_mlp: bool | None
    attn_pool_num_heads: int | None
    rel_pos_type: str | None
    patch_size: Side


class Pretrained(TypedDict, total=False):
    """What is read of timm's `pretrained_cfg`."""

    input_size: list[int] | None
    mean: float | list[float] | None
    std: float | list[float] | None
    crop_pct: float | None
    crop_mode: str | None
    interpolation: str | None


class Config(TypedDict, total=False):
    """What is read of a `config.json`."""

    architecture: str
    global_pool: str | None
    model_args: Arguments | None
    pretrained_cfg: Pretrained | None


ACTIVATIONS = {name: name for name in ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu")}
ROTARY = {"cat": "axial", "dinov3": "dinov3", "mixed": "mixed"}

# Arguments of timm's constructors that add, remove or reshape tensors, so that these tell them...
_IN_TENSORS = {
    *("patch_size", "in_chans", "embed_dim", "depth", "mlp_ratio", "class_token", "num_classes"),
    *("init_values", "qk_norm", "qkv_bias", "no_embed_class"),
}
_IN_TENSORS_OF = {
    "VisionTransformer": {
        *("fc_norm", "reg_tokens", "proj_bias", "pre_norm", "final_norm"),
        *("scale_attn_norm", "scale_mlp_norm"),
    },
    "Eva": {
        *("num_reg_tokens", "use_pre_transformer_norm", "use_post_transformer_norm"),
        *("use_fc_norm", "use_abs_pos_emb", "qkv_fused", "swiglu_align_to", "scale_mlp"),
        *("scale_attn_inner", "attn_type", "attn_pool_mlp_ratio"),
    },
    "Beit": {
        *("use_abs_pos_emb", "use_rel_pos_bias", "use_shared_rel_pos_bias", "use_fc_norm"),
        *("scale_mlp",),
    },
    "VisionTransformerRelPos": {"fc_norm", "shared_rel_pos", "rel_pos_dim"},
    "NaFlexVit": {
        *("reg_tokens", "pos_embed_grid_size", "fc_norm", "final_norm", "pre_norm", "proj_bias"),
        *("scale_mlp_norm", "scale_attn_inner_norm", "attn_pool_mlp_ratio"),
    },
}
# ... that matter to training or to other sizes alone ...
_IN_TRAINING = {
    *("drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
    *("drop_path_rate", "weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad"),
    *("strict_img_size", "head_init_scale", "rope_shift_coords", "rope_jitter_coords"),
    *("rope_rescale_coords", "enable_patch_interpolator"),
}
# ... and that are read here.
_READ = {"num_heads", "img_size", "global_pool"}
_READ_OF = {
    "VisionTransformer": {"pool_include_prefix", "act_layer"},
    "Eva": {
        *("rope_type", "rope_temperature", "rope_grid_offset", "rope_grid_indexing"),
        *("rope_rotate_half", "use_rot_pos_emb", "ref_feat_shape", "use_post_norm"),
        *("swiglu_mlp", "attn_pool_num_heads"),
    },
    "Beit": {"swiglu_mlp"},
    "VisionTransformerRelPos": {"rel_pos_type"},
    "NaFlexVit": {"pool_include_prefix", "act_layer", "attn_pool_num_heads"},
}
# Arguments of one value that the model here can be.
_FIXED = {"pos_embed": ("learn", "none", "", "learned", "factorized"), "embed_norm_layer": (None,)}


def facts_of(config: dict[str, Any], source: str, architecture: str | None) -> Facts:
    """Everything that a name and a `config.json` tell.

    Args:
        config: a `Config`; `{}` without one.
        source: what to call it in messages.
        architecture: a name that goes before that of the file.

    Raises:
        UserError: for a model that the model here cannot be, by the name of its feature, and for
            arguments whose meaning is not known here.
    """
    name = architecture or config["architecture"]
    usual = architecture_row(name)
    if usual.get("unlike"):
        raise UserError(
            f"architecture {name}: has {', '.join(usual['unlike'])}; the model here does not."
        )
    arguments: Arguments = config.get("model_args") or Arguments()
    _check_arguments(arguments, usual["kind"], source)
    found = {field: value for field, value in row_facts(usual).items() if value is not None}
    # The heads of another width are not those of this one.
    found["heads_of_width"] = found.pop("num_heads", None), usual.get("width")
    told = {
        **_head_facts(config, arguments, usual, source),
        **_rotary_facts(arguments, usual, source),
        **_block_facts(arguments, usual, source),
    }
    known = {field: value for field, value in told.items() if value is not None}
    return {"named": f"architecture {name}", **found, **known}


def _head_facts(config: dict[str, Any], arguments: Arguments, usual: Row, source: str) -> Facts:
    pretrained = config.get("pretrained_cfg") or {}
    size = arguments.get("img_size") or pretrained.get("input_size")
    pool = arguments.get("global_pool", config.get("global_pool"))
    return {
        # timm keeps the number of heads of the architecture when only the width is changed.
        "num_heads": arguments.get(
            "num_heads", usual.get("num_heads") if "embed_dim" in arguments else None
        ),
        "image_size": image_size(size, source) if size else None,
        "pool": None if pool is None else translated(POOLS, pool, "global_pool", source),
        "pool_includes_prefix": arguments.get("pool_include_prefix"),
        "pool_heads": arguments.get("attn_pool_num_heads"),
        "pixel_mean": pretrained.get("mean"),
        "pixel_std": pretrained.get("std"),
        "view": of_timm(pretrained, source),
    }


def _block_facts(arguments: Arguments, usual: Row, source: str) -> Facts:
    told: Facts = {}
    if "act_layer" in arguments:
        told["activation"] = translated(ACTIVATIONS, arguments["act_layer"], "act_layer", source)
    if "swiglu_mlp" in arguments:  # of classes whose MLP knows one activation of each kind
        told["activation"] = "silu" if arguments["swiglu_mlp"] else "gelu"
    if "use_post_norm" in arguments:
        told["norm_placement"] = "after" if arguments["use_post_norm"] else "before"
    if "rel_pos_type" in arguments:
        kind = str(arguments["rel_pos_type"])
        told["relative_mode"] = "swin" if "swin" in kind else "cr"
    side = arguments.get("patch_size")
    if usual["kind"] == "NaFlexVit" and side is not None:
        told["grid_patch"] = side if isinstance(side, int) else side[0]
    return told


def _rotary_facts(arguments: Arguments, usual: Row, source: str) -> Facts:
    """Rotary positions where the arguments say something about them."""
    if not any(name.startswith(("rope_", "use_rot", "ref_feat")) for name in arguments):
        return {}
    if not arguments.get("use_rot_pos_emb", "rotary" in usual):
        return {"rotary": "none"}
    kind = usual.get("rotary", "axial")
    if "rope_type" in arguments:
        kind = translated(ROTARY, arguments["rope_type"], "rope_type", source)
    layout = usual.get("rotary_layout", "pairs")
    halves = arguments.get("rope_rotate_half", layout.startswith("halves"))
    swapped = layout.endswith("x first")
    if "rope_grid_indexing" in arguments:
        swapped = arguments["rope_grid_indexing"] == "xy"
    offset = arguments.get("rope_grid_offset", usual.get("rotary_offset", 0.0))
    if offset and kind == "dinov3":
        raise UserError(
            f"{source}: rope_grid_offset={offset}: the model here has none with dinov3."
        )
    grid = arguments.get("ref_feat_shape", usual.get("rotary_reference_grid"))
    return {
        "rotary": kind,
        "rotary_temperature": float(
            arguments.get("rope_temperature", usual.get("rotary_temperature", 10_000.0))
        ),
        "rotary_offset": float(offset),
        "rotary_reference_grid": None if grid is None else image_size(grid, source),
        "rotary_layout": ("halves" if halves else "pairs") + (", x first" if swapped else ""),
    }


def _check_arguments(arguments: Arguments, kind: str, source: str) -> None:
    kind = "VisionTransformer" if kind == "VisionTransformerDistilled" else kind
    known = _IN_TENSORS | _IN_TRAINING | _READ | _IN_TENSORS_OF[kind] | _READ_OF[kind]
    odd = [
        f"{name}={value!r}"[:80]
        for name, value in arguments.items()
        if name not in known and not (name in _FIXED and value in _FIXED[name])
    ]
    if odd:
        raise UserError(
            f"{source}: model_args has {', '.join(odd)}: what that changes is not known here, and "
            "the tensors do not tell it."
        )
