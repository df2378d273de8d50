# SPDX-License-Identifier: MIT
"""What timm can express, and the `config.json` that says it: an architecture and its arguments.

Arguments are JSON, so that what timm takes as a Python class (norms, epsilon, blocks after which
norms stand, gated MLPs) is said by the name of an architecture that has it.
"""

from collections.abc import Mapping
from typing import Any

from keras_vit.config import HYBRIDS, ViTConfig
from keras_vit.errors import UserError
from keras_vit.preprocessing import View
from keras_vit.weights.adapter import Test
from keras_vit.weights.adapters.timm_arguments import ROTARY
from keras_vit.weights.adapters.timm_tables import kind_of, rotary_layout
from keras_vit.weights.config_files import each_channel, one_or_two
from keras_vit.weights.views import to_timm

_MANY = range(1, 1_000_000)
SAYS: Mapping[str, Any] = {
    "patch_norm": (True,),
    "embedding_norm": (True,),
    "rotary": ("axial", "dinov3", "mixed"),
    "relative_position_bias": (True,),
    "pool_heads": _MANY,
    "pool_mlp_dim": _MANY,
    "final_norm": (False,),
    "attention_inner_norm": (True,),
    "gated_mlp": (True,),
    "mlp_inner_norm": (True,),
    "norm": ("rms",),
    "norm_placement": ("after",),
    "activation": ("quick_gelu", "silu", "relu"),
}


def _is(kind: str, test: Test) -> Test:
    return lambda config: kind_of(config) == kind and test(config)


def _relative(test: Test) -> Test:
    return lambda config: config.relative_position_bias and test(config)


_POOLS = ("token", "average", "map")
CANNOT: Mapping[str, Test] = {
    "a tanh layer before the head": lambda c: c.representation_size > 0,
    "registers with a distillation token": lambda c: c.distillation_token and c.register_tokens,
    "vision_transformer's form of the ResNet stem": lambda c: (
        c.resnet_stages is not None and c.resnet_form == "flax"
    ),
    "a bias of the patches with a norm before the blocks": lambda c: (
        c.embedding_norm and c.patch_bias
    ),
    "LayerScale with norms after attention and MLP": lambda c: (
        c.norm_placement == "after" and c.layer_scale is not None
    ),
    "a stem, a distillation token or a norm of patches with what Eva alone has": _is(
        "Eva", lambda c: c.resnet_stages is not None or c.distillation_token or c.patch_norm
    ),
    "RMS norms with what Eva alone has": _is("Eva", lambda c: c.norm == "rms"),
    "activations other than GELU and gated SiLU with what Eva alone has": _is(
        "Eva", lambda c: c.activation != ("silu" if c.gated_mlp else "gelu")
    ),
    "a pool of attention, or an average, over other tokens with what Eva alone has": _is(
        "Eva",
        lambda c: (
            c.num_prefix_tokens > 0
            and c.pool in ("average", "map")
            and c.pool_includes_prefix != (c.pool == "map")
        ),
    ),
    "a gated MLP with a pool of attention": lambda c: c.gated_mlp and c.pool == "map",
    "QK-norm with norms after attention and MLP": _is(
        "Eva", lambda c: c.norm_placement == "after" and c.qk_norm
    ),
    "relative positions with a stem, other tokens, norms inside or before the blocks, a pool of "
    "attention or no last norm": _relative(
        lambda c: (
            c.resnet_stages is not None
            or c.num_prefix_tokens > c.class_token
            or c.embedding_norm
            or c.patch_norm
            or c.attention_inner_norm
            or c.pool == "map"
            or c.pool_includes_prefix
            or not c.final_norm
            or c.norm == "rms"
            or c.rotary != "none"
        )
    ),
    "relative positions without biases of queries and values alone, with a table of positions, a "
    "norm in the MLP or an activation other than GELU": _is(
        "VisionTransformerRelPos",
        lambda c: c.position != "none" or c.mlp_inner_norm or c.activation != "gelu",
    ),
    "relative positions of BEiT without a class token, or with QK-norm or other activations": _is(
        "Beit",
        lambda c: (
            not c.class_token
            or c.qk_norm
            or c.norm_placement == "after"
            or c.activation != ("silu" if c.gated_mlp else "gelu")
        ),
    ),
}


def biases(config: ViTConfig) -> dict[str, object]:
    """Which biases a model has when it is written; those that it lacks are zeros."""
    kind, plain = kind_of(config), kind_of(config) == "VisionTransformer"
    return {
        "qkv_bias": config.qkv_bias,
        "dense_bias": config.dense_bias if plain else True,
        "patch_bias": not config.embedding_norm if kind in ("VisionTransformer", "Eva") else True,
        "head_bias": 0.0 if config.head_bias is None else config.head_bias,
    }


def config_json(config: ViTConfig, view: View) -> dict[str, Any]:
    """The `config.json` of a model.

    Args:
        config: the model.
        view: what of an image it wants to see.

    Raises:
        UserError: where no architecture has what arguments cannot say.
    """
    arguments = arguments_of(config)
    if config.resnet_stages is not None:
        arguments = {k: v for k, v in arguments.items() if k not in ("patch_size", "in_chans")}
    return {
        "architecture": _architecture(config, kind_of(config)),
        "num_classes": config.num_classes,
        "num_features": config.width,
        "global_pool": arguments["global_pool"],
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [config.channels, *config.image_size],
            "mean": each_channel(config.pixel_mean, config),
            "std": each_channel(config.pixel_std, config),
            "num_classes": config.num_classes,
            **to_timm(view),
        },
    }


def arguments_of(config: ViTConfig) -> dict[str, Any]:
    """The arguments of timm's constructor, as far as JSON can say them."""
    return {**_common(config), **_ARGUMENTS[kind_of(config)](config)}


def _architecture(config: ViTConfig, kind: str) -> str:
    """One that has what arguments cannot say."""
    if config.resnet_stages is not None:
        return _hybrid(config)
    found = {
        "Eva": {1e-6: "eva02_tiny_patch14_224", 1e-5: "vit_pe_core_tiny_patch16_384"},
        "Beit": {1e-6: "beit_base_patch16_224"},
        "VisionTransformerRelPos": _relpos(config),
        "VisionTransformer": _plain(config),
    }[kind]
    if config.norm_epsilon not in found:
        raise UserError(
            f"timm's config.json cannot say norm_epsilon={config.norm_epsilon} of such a model. "
            "Write a bare .safetensors file, and make the model in timm with "
            f"norm_layer=partial(LayerNorm, eps={config.norm_epsilon})."
        )
    return found[config.norm_epsilon]


def _relpos(config: ViTConfig) -> dict[float, str]:
    after = config.norm_placement == "after"
    return {1e-6: "vit_relpos_base_patch16_rpn_224" if after else "vit_relpos_base_patch16_224"}


def _plain(config: ViTConfig) -> dict[float, str]:
    """Architectures of `VisionTransformer` by their epsilon."""
    if config.norm == "rms":
        gated = {1e-5: "aimv2_large_patch14_224"}
        return gated if config.gated_mlp else {} if config.patch_norm else {1e-6: "test_vit4"}
    if config.patch_norm:
        return {}
    if config.gated_mlp:
        return {1e-6: "vit_giant_patch14_dinov2"} if config.norm_placement == "before" else {}
    if config.norm_placement == "after":
        return {1e-6: "vit_base_patch16_rpn_224"}
    if config.distillation_token:
        return {1e-6: "deit_base_distilled_patch16_224"}
    return {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}


def _common(config: ViTConfig) -> dict[str, Any]:
    return {
        "img_size": list(config.image_size),
        "patch_size": one_or_two(config.patch_size),
        "in_chans": config.channels,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "mlp_ratio": (config.mlp_dim + 0.5) / config.width,  # timm rounds down
        "global_pool": {"token": "token", "average": "avg", "map": "map"}[config.pool],
        "init_values": config.layer_scale,
        "qkv_bias": config.qkv_bias != "none",
    }


def _plain_arguments(config: ViTConfig) -> dict[str, Any]:
    packed = config.gated_mlp and config.norm == "layer"  # one layer makes gate and hidden vector
    ratio = {"mlp_ratio": (2 * config.mlp_dim + 0.5) / config.width} if packed else {}
    bare = {"embed_norm_layer": None} if config.norm == "rms" and not config.patch_norm else {}
    return {
        **ratio,
        **bare,
        "class_token": config.class_token,
        "pool_include_prefix": config.pool_includes_prefix,
        "fc_norm": config.norm_after_pool,
        "final_norm": config.final_norm,
        "pre_norm": config.embedding_norm,
        "reg_tokens": config.register_tokens,
        "no_embed_class": config.num_prefix_positions == 0,
        "pos_embed": "none" if config.position == "none" else "learn",
        "qk_norm": config.qk_norm,
        "proj_bias": config.dense_bias,
        "scale_attn_norm": config.attention_inner_norm,
        "scale_mlp_norm": config.mlp_inner_norm,
        "act_layer": config.activation,
    }


def _eva_arguments(config: ViTConfig) -> dict[str, Any]:
    layout = rotary_layout(config)
    rotary = {ours: theirs for theirs, ours in ROTARY.items()}.get(config.rotary, "cat")
    pool_mlp_dim = config.pool_mlp_dim or config.mlp_dim
    return {
        "class_token": config.class_token,
        "num_reg_tokens": config.register_tokens,
        "no_embed_class": config.num_prefix_positions == 0,
        "use_abs_pos_emb": config.position != "none",
        "use_rot_pos_emb": config.rotary != "none",
        "rope_type": rotary,
        "rope_temperature": config.rotary_temperature,
        "rope_grid_offset": config.rotary_offset,
        "rope_grid_indexing": "xy" if layout.endswith("x first") else "ij",
        "rope_rotate_half": layout == "halves",
        "ref_feat_shape": config.rotary_reference_grid and list(config.rotary_reference_grid),
        "attn_type": "rope" if config.qkv_bias == "all" else "eva",
        "qkv_fused": not (
            config.gated_mlp and config.mlp_inner_norm and config.qkv_bias == "query_value"
        ),
        "qk_norm": config.qk_norm,
        "swiglu_mlp": config.gated_mlp,
        "swiglu_align_to": 1 if config.gated_mlp and config.rotary == "dinov3" else 0,
        "scale_mlp": config.mlp_inner_norm,
        "scale_attn_inner": config.attention_inner_norm,
        "use_pre_transformer_norm": config.embedding_norm,
        "use_post_transformer_norm": config.final_norm and not config.norm_after_pool,
        "use_fc_norm": config.norm_after_pool,
        "use_post_norm": config.norm_placement == "after",
        "attn_pool_num_heads": config.pool_heads or config.num_heads,
        "attn_pool_mlp_ratio": (pool_mlp_dim + 0.5) / config.width,
    }


def _beit_arguments(config: ViTConfig) -> dict[str, Any]:
    return {
        "use_abs_pos_emb": config.position != "none",
        "use_rel_pos_bias": True,
        "use_shared_rel_pos_bias": False,
        "use_fc_norm": config.norm_after_pool,
        "swiglu_mlp": config.gated_mlp,
        "scale_mlp": config.mlp_inner_norm,
    }


def _relpos_arguments(config: ViTConfig) -> dict[str, Any]:
    return {
        "class_token": config.class_token,
        "fc_norm": config.norm_after_pool,
        "qk_norm": config.qk_norm,
        "rel_pos_type": "bias",
        "shared_rel_pos": False,
    }


_ARGUMENTS = {
    "VisionTransformer": _plain_arguments,
    "Eva": _eva_arguments,
    "Beit": _beit_arguments,
    "VisionTransformerRelPos": _relpos_arguments,
}

# timm builds the ResNet of a hybrid by the name of the architecture alone.
_HYBRIDS = {
    "R+Ti/16": "vit_tiny_r_s16_p8_224",
    "R26+S/32": "vit_small_r26_s32_224",
    "R26+B/32": "vit_base_r26_s32_224",
    "R50+B/16": "vit_base_r50_s16_224",
    "R50+L/32": "vit_large_r50_s32_224",
}


def _hybrid(config: ViTConfig) -> str:
    stem = (config.resnet_stages, config.resnet_width, config.patch_size)
    for name, (_, stages, patch) in HYBRIDS.items():
        if stem == (stages, 64, (patch, patch)) and config.norm_epsilon == 1e-6:
            return _HYBRIDS[name]
    raise UserError(
        "timm has no architecture with this ResNet stem, so that a config.json cannot name it. "
        "Write a bare .safetensors file."
    )
