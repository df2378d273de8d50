# SPDX-License-Identifier: MIT
"""What a family of checkpoints can express, and the same function in the form that it expects.

Exact rewritings are done without a word (a class token that takes its position along, a fixed
position table written out). What would change the function is an error, unless the caller accepts
it by name.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.errors import UserError, unknown
from keras_vit.weights.adapter import Adapter

Arrays = Mapping[str, np.ndarray]

# Options that a plain Vision Transformer does not have, in words. A family says which it knows.
_OPTIONS = {
    "patch_norm": "a norm of the patches",
    "embedding_norm": "a norm before the first block",
    "rotary": "rotary positions",
    "relative_position_bias": "relative position bias",
    "pool_heads": "a pool of attention with heads of its own",
    "pool_mlp_dim": "a pool of attention with an MLP size of its own",
    "final_norm": "a model without a norm after the last block",
    "attention_inner_norm": "a norm inside the attention",
    "gated_mlp": "a gated MLP (SwiGLU)",
    "mlp_inner_norm": "a norm inside the MLP",
    "norm": "RMS norms",
    "norm_placement": "norms after attention and MLP instead of before them",
}


def in_form(
    config: ViTConfig, arrays: Arrays, adapter: Adapter, accept: Sequence[str] = ()
) -> tuple[ViTConfig, Arrays]:
    """Rewrites a model in the form of a dialect.

    Args:
        config: the model.
        arrays: its variables by our paths.
        adapter: the family of the dialect.
        accept: fields of `ViTConfig` whose loss is accepted, e.g. `("activation",)`.

    Returns:
        The configuration and variables of a model that computes the same, but for what is accepted.

    Raises:
        UserError: when the dialect cannot express the model, with every reason.
    """
    config = _without_losses(config, adapter, accept)
    if reasons := _reasons(config, adapter):
        raise UserError(f"the {adapter.name} dialect cannot express {'; '.join(reasons)}.")
    changed: dict[str, np.ndarray] = {}
    config = _with_biases(config, adapter, changed)
    # A chain writes to its first table alone; what it reads is not copied.
    whole = collections.ChainMap(changed, arrays)  # type: ignore[arg-type]
    config = _with_table(config, adapter, changed)
    return _with_prefix(config, adapter, whole, changed), whole


def can_express(config: ViTConfig, adapter: Adapter) -> bool:
    """Whether a dialect can express a model without a loss."""
    lost = any(getattr(config, name) != value for name, value in adapter.always.items())
    return not lost and not _reasons(config, adapter)


def _reasons(config: ViTConfig, adapter: Adapter) -> list[str]:
    """What a dialect cannot express of a model, in words."""
    own = [what for what, test in adapter.cannot.items() if test(config)]
    return [*_unsaid(config, adapter), *own]


def _unsaid(config: ViTConfig, adapter: Adapter) -> list[str]:
    """The options of a model that a family does not know, in words."""

    def known(field: str, *usual: object) -> bool:
        value = getattr(config, field)
        return value in usual or value in adapter.says.get(field, ())

    words = [what for name, what in _OPTIONS.items() if not known(name, getattr(ViTConfig, name))]
    if not known("activation", "gelu", "gelu_tanh"):
        words.append(f"the activation {config.activation}")
    if not known("pool", "token", "average", "map"):
        words.append("a head on the class token and the average")
    return words


def _with_biases(config: ViTConfig, adapter: Adapter, changed: dict[str, np.ndarray]) -> ViTConfig:
    """Writes out biases that the dialect always has."""
    whole = adapter.biases_for(config)
    had, config = shapes(config), dataclasses.replace(config, **whole)
    for path, shape in shapes(config).items():
        if path not in had:
            changed[path] = np.zeros(shape, np.float32)
    return config


def _without_losses(config: ViTConfig, adapter: Adapter, accept: Sequence[str]) -> ViTConfig:
    losses: dict[str, Any] = {}
    for name, value in adapter.always.items():
        if getattr(config, name) != value:
            losses[name] = value
    for name in accept:
        if not adapter.always:
            raise UserError(
                f"accept: the {adapter.name} dialect can express every field; received {name!r}. "
                "Leave it out."
            )
        if name not in adapter.always:
            raise unknown("loss to accept", name, adapter.always)
    refused = [name for name in losses if name not in accept]
    if refused:
        told = ", ".join(f"{n}={getattr(config, n)} (always {losses[n]} there)" for n in refused)
        raise UserError(
            f"the {adapter.name} dialect cannot express {told}. Written all the same, the model "
            f"would compute something else; to do so, accept={tuple(refused)}."
        )
    return dataclasses.replace(config, **losses)


def _with_table(config: ViTConfig, adapter: Adapter, changed: dict[str, np.ndarray]) -> ViTConfig:
    """Writes out positions that the dialect has no word for."""
    if config.position == "learned" or config.position in adapter.tableless:
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
    config: ViTConfig, adapter: Adapter, arrays: Arrays, changed: dict[str, np.ndarray]
) -> ViTConfig:
    """Moves the positions of the first tokens into the tokens, or gives them rows of zeros."""
    if config.position != "learned":
        return config
    classes, registers = adapter.rows_for(config)
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
