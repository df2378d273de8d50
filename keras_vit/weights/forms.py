# SPDX-License-Identifier: MIT
"""What a dialect can express, and the same function written in the form that it expects.

Exact rewritings are done without a word (a class token that takes its position along, a fixed
position table written out). What would change the function is an error, unless the caller accepts
it by name.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, unknown
from keras_vit.weights.dialects import family

Arrays = Mapping[str, np.ndarray]

# Fields whose loss a caller may accept: (dialects that cannot say them, what they always have).
_ALWAYS: dict[str, dict[str, object]] = {
    "flax": {"gelu": "tanh", "norm_epsilon": 1e-6, "pixel_mean": (0.5,), "pixel_std": (0.5,)},
    "timm": {},
    "hf": {},
}
_ALWAYS["big_vision"] = _ALWAYS["flax"]

Test = Callable[[ViTConfig], bool]

_IMPOSSIBLE: dict[str, dict[str, Test]] = {
    "flax": {
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "register tokens": lambda c: c.register_tokens > 0,
        "a distillation token": lambda c: c.distillation_token,
        "a norm after the pool": lambda c: c.norm_after_pool,
        "a class token that is not what is read": lambda c: c.class_token and c.pool != "token",
        "attention pooling": lambda c: c.pool == "map",
        "timm's form of the ResNet stem": lambda c: _stem(c) == "timm",
    },
    "timm": {
        "a tanh layer before the head": lambda c: c.representation_size > 0,
        "registers beside a distillation token": lambda c: bool(
            c.distillation_token and c.register_tokens
        ),
        "vision_transformer's form of the ResNet stem": lambda c: _stem(c) == "flax",
    },
    "hf": {
        "LayerScale": lambda c: c.layer_scale is not None,
        "QK-norm": lambda c: c.qk_norm,
        "a model without class token": lambda c: not c.class_token,
        "a pool other than the class token": lambda c: c.pool != "token",
        "a ResNet stem": lambda c: c.resnet_stages is not None,
        "registers, but for one that has a position (DeiT's second token)": lambda c: (
            c.register_tokens > 0
            and (c.register_tokens, c.register_tokens_in_positions) != (1, True)
        ),
        "a register beside a distillation token": lambda c: bool(
            c.distillation_token and c.register_tokens
        ),
        "a tanh layer between the class token and a head": lambda c: bool(
            c.representation_size and c.num_classes
        ),
        "a distillation token without heads": lambda c: c.distillation_token and not c.num_classes,
    },
}
_IMPOSSIBLE["big_vision"] = {
    **{name: test for name, test in _IMPOSSIBLE["flax"].items() if "attention pool" not in name},
    "a ResNet stem": lambda c: c.resnet_stages is not None,
}
# Positions that need no table in a dialect.
_TABLELESS = {
    "flax": (),
    "big_vision": ("sincos2d",),
    "timm": ("none",),
    "hf": (),
}


def in_form(
    config: ViTConfig, arrays: Arrays, dialect: str, accept: Sequence[str] = ()
) -> tuple[ViTConfig, Arrays]:
    """Rewrites a model in the form of a dialect.

    Args:
        config: the model.
        arrays: its variables by our paths.
        dialect: a key of `DIALECTS`.
        accept: fields of `ViTConfig` whose loss is accepted, e.g. `("gelu",)`.

    Returns:
        The configuration and variables of a model that computes the same, but for what is accepted.

    Raises:
        UserError: when the dialect cannot express the model, with every reason.
    """
    home = family(dialect)
    config = _without_losses(config, home, accept)
    reasons = [what for what, test in _IMPOSSIBLE[home].items() if test(config)]
    if reasons:
        raise UserError(f"the {home} dialect cannot express {'; '.join(reasons)}.")
    changed: dict[str, np.ndarray] = {}
    if config.num_classes and config.head_bias is None:
        config = dataclasses.replace(config, head_bias=0.0)
        changed["head/bias"] = np.zeros(config.num_classes, np.float32)
        if config.distillation_token:
            changed["distillation_head/bias"] = changed["head/bias"]
    arrays = collections.ChainMap(changed, arrays)
    config = _with_table(config, home, changed)
    return _with_prefix(config, home, arrays, changed), arrays


def _without_losses(config: ViTConfig, home: str, accept: Sequence[str]) -> ViTConfig:
    losses = {}
    for name, value in _ALWAYS[home].items():
        if getattr(config, name) != value:
            losses[name] = value
    for name in accept:
        if not _ALWAYS[home]:
            raise UserError(
                f"accept: the {home} dialect can express every field; received {name!r}. "
                "Leave it out."
            )
        if name not in _ALWAYS[home]:
            raise unknown("loss to accept", name, _ALWAYS[home])
    refused = [name for name in losses if name not in accept]
    if refused:
        told = ", ".join(f"{n}={getattr(config, n)} (always {losses[n]} there)" for n in refused)
        raise UserError(
            f"the {home} dialect cannot express {told}. Written all the same, the model would "
            f"compute something else; to do so, accept={tuple(refused)}."
        )
    return dataclasses.replace(config, **losses)


def _with_table(config: ViTConfig, home: str, changed: dict[str, np.ndarray]) -> ViTConfig:
    """Writes out positions that the dialect has no word for."""
    if config.position == "learned" or config.position in _TABLELESS[home]:
        return config
    table = np.zeros((1, config.num_patches, config.width), np.float32)
    if config.position == "sincos2d":
        from keras_vit.layers import sincos2d  # Keras, which the other forms do without

        table = sincos2d(config.grid, config.width)[None]
    changed["patch_encoder/position_embedding"] = table
    return dataclasses.replace(
        config,
        position="learned",
        class_token_in_positions=False,
        register_tokens_in_positions=False,
    )


def _with_prefix(
    config: ViTConfig, home: str, arrays: Arrays, changed: dict[str, np.ndarray]
) -> ViTConfig:
    """Moves the positions of the first tokens into the tokens, or gives them rows of zeros."""
    if config.position != "learned":
        return config
    tokens = config.class_token or config.distillation_token
    classes, registers = config.class_token_in_positions, config.register_tokens_in_positions
    if home == "big_vision":
        classes = registers = False
    elif home in ("flax", "hf") or config.distillation_token:
        classes = True
    elif classes and tokens and config.register_tokens:
        registers = True  # timm's table has rows for all tokens, or for patches alone
    new = dataclasses.replace(
        config, class_token_in_positions=classes, register_tokens_in_positions=registers
    )
    if new.num_prefix_positions == config.num_prefix_positions:
        return new
    table = arrays["patch_encoder/position_embedding"]
    rows, patches = np.split(table, [config.num_prefix_positions], axis=1)
    moved = []
    for name, count in (
        ("class", int(config.class_token)),
        ("distillation", int(config.distillation_token)),
        ("register", config.register_tokens),
    ):
        had = _has_rows(config, name)
        has = _has_rows(new, name)
        own, rows = (rows[:, :count], rows[:, count:]) if had else (None, rows)
        if not count:
            continue
        if had and not has:
            path = f"patch_encoder/{name}_embedding"
            changed[path] = arrays[path] + own
        if has:
            moved.append(own if had else np.zeros((1, count, config.width), np.float32))
    changed["patch_encoder/position_embedding"] = np.concatenate([*moved, patches], axis=1)
    return new


def _has_rows(config: ViTConfig, name: str) -> bool:
    """Whether the position table has rows for the tokens of that name."""
    if name == "register":
        return config.register_tokens_in_positions
    return config.class_token_in_positions


def _stem(config: ViTConfig) -> str | None:
    return config.resnet_form if config.resnet_stages is not None else None
