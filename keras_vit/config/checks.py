# SPDX-License-Identifier: MIT
"""What the fields of a `ViTConfig` may be, each alone and together."""

from typing import TYPE_CHECKING, Any

from keras_vit.errors import UserError
from keras_vit.untrusted import limits, schema

if TYPE_CHECKING:
    from keras_vit.config.vit_config import ViTConfig

CHOICES = {
    "position": ("learned", "sincos2d", "none"),
    "rotary": ("none", "axial", "dinov3", "mixed"),
    "pool": ("token", "average", "token_and_average", "map"),
    "qkv_bias": ("all", "query_value", "none"),
    "activation": ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu"),
    "norm": ("layer", "rms"),
    "norm_placement": ("before", "after"),
    "resnet_form": ("flax", "timm"),
}
_RATE = (0, 0.99)
# Several times what any published model has, and still no more than can be counted in a moment.
BOUNDS = {
    "image_size": (1, limits.MODEL_SIDE),
    "channels": (1, 4096),
    "num_classes": (0, limits.CLASSES),
    "patch_size": (1, limits.MODEL_SIDE),
    "width": (1, 65_536),
    "depth": (1, 1000),
    "mlp_dim": (1, 10**6),
    "num_heads": (1, 65_536),
    "rotary_temperature": (1, 1e9),
    "rotary_reference_grid": (1, limits.MODEL_SIDE),
    "rotary_offset": (-1e4, 1e4),
    "pool_heads": (0, 65_536),
    "pool_mlp_dim": (0, 10**6),
    "register_tokens": (0, 10_000),
    "representation_size": (0, 10**6),
    "head_bias": (-1e4, 1e4),
    "dropout": _RATE,
    "attention_dropout": _RATE,
    "stochastic_depth": _RATE,
    "layer_scale": (0, 1e4),
    "norm_epsilon": (1e-12, 1),
    "resnet_stages": (1, 1000),
    "resnet_width": (1, 65_536),
    "pixel_mean": (-1e6, 1e6),
    "pixel_std": (1e-9, 1e6),
}


def pair(name: str, value: Any) -> tuple[int, int]:
    """One whole number above 0 twice, or two as they are; a `UserError` for anything else."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise UserError(
            f"{name}: expected a whole number above 0 or two of them (height, width), "
            f"received {schema.shown(value)}."
        )
    return pair


def check_together(config: "ViTConfig") -> None:
    """Raises a `UserError` for fields that do not go together, each of which may be."""
    if config.resnet_stages is not None and len(config.resnet_stages) > 8:
        raise UserError(
            f"resnet_stages: expected at most 8 stages, received {len(config.resnet_stages)}."
        )
    _check_width(config)
    _check_tokens(config)
    _check_positions(config)
    _check_pool(config)
    _check_pixels(config)


def _check_width(config: "ViTConfig") -> None:
    width, heads = config.width, config.num_heads
    if width % heads:
        divisors = (d for d in range(1, width + 1) if width % d == 0)
        nearest = min(divisors, key=lambda divisor: abs(divisor - heads))
        raise UserError(
            f"num_heads: expected a divisor of width={width}, received {heads}. "
            f"Try num_heads={nearest}."
        )
    if config.position == "sincos2d" and (width % 4 or width < 8):
        raise UserError(
            f"width: sincos2d positions need a multiple of 4 that is at least 8, received {width}."
        )


def _check_tokens(config: "ViTConfig") -> None:
    if config.distillation_token and (config.pool != "token" or config.representation_size):
        raise UserError(
            "distillation_token=True goes with pool='token' and representation_size=0, "
            f"received pool={config.pool!r} and representation_size={config.representation_size}."
        )
    if config.register_tokens_in_positions and not config.class_token_in_positions:
        raise UserError(
            "register_tokens_in_positions=True goes with class_token_in_positions=True."
        )


def _check_positions(config: "ViTConfig") -> None:
    step = 2 if config.rotary == "mixed" else 4
    if config.rotary != "none" and config.head_dim % step:
        raise UserError(
            f"rotary={config.rotary!r} needs heads whose size is a multiple of {step}, received "
            f"{config.head_dim} (width={config.width}, num_heads={config.num_heads})."
        )
    others = config.num_prefix_tokens - config.class_token
    if config.relative_position_bias and others:
        raise UserError(
            "relative_position_bias=True goes with no tokens before the patches but the class "
            f"token, received {others} others."
        )


def _check_pool(config: "ViTConfig") -> None:
    if "token" in config.pool and not config.class_token:
        raise UserError(
            f"pool={config.pool!r} reads the class token, but class_token=False. "
            "Set class_token=True, or pool='average' or 'map'."
        )
    if config.pool_includes_prefix and config.pool not in ("average", "map"):
        raise UserError(
            "pool_includes_prefix=True goes with pool='average' or 'map', "
            f"received {config.pool!r}."
        )
    if config.pool_heads and config.width % config.pool_heads:
        raise UserError(
            f"pool_heads: expected a divisor of width={config.width}, received {config.pool_heads}."
        )
    if config.norm_after_pool and not config.final_norm:
        raise UserError("norm_after_pool=True goes with final_norm=True.")
    if config.norm_after_pool and config.pool != "average":
        raise UserError(f"norm_after_pool=True goes with pool='average', received {config.pool!r}.")


def _check_pixels(config: "ViTConfig") -> None:
    sides = zip(("height", "width"), config.image_size, config.patch_size, strict=True)
    for side, size, patch in sides:
        step = config.stem_stride * patch
        if size % step:
            lower, upper = size // step * step, (size // step + 1) * step
            near = f"{lower} or {upper}" if lower else f"{upper}"
            raise UserError(
                f"image_size: expected a {side} that is a multiple of {step} pixels "
                f"(one patch), received {size}. Try {near}."
            )
    for name in ("pixel_mean", "pixel_std"):
        if len(getattr(config, name)) not in (1, config.channels):
            raise UserError(
                f"{name}: expected 1 number or one for each of {config.channels} channels, "
                f"received {getattr(config, name)}."
            )
