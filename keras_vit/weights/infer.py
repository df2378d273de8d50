# SPDX-License-Identifier: MIT
"""Reads a `ViTConfig` off the shapes of a checkpoint; NumPy and Keras are not needed."""

import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.dialects import family
from keras_vit.weights.formats import Spec
from keras_vit.weights.unnamed import check_told, timm_facts

Specs = Mapping[str, Spec]
_log = logging.getLogger(__name__)


def infer(
    dialect: str,
    specs: Specs,
    facts: Mapping[str, Any],
    source: str = "file",
    names: Iterable[str] = (),
) -> ViTConfig:
    """The configuration of the model that a checkpoint holds.

    Args:
        dialect: a key of `DIALECTS`.
        specs: shapes by the names of that dialect's table.
        facts: fields of `ViTConfig` that are known otherwise; those that the tensors tell as well
            must agree with them.
        source: what to call the file in messages.
        names: of the tensors in the file, without their prefix.

    Raises:
        UserError: where a tensor is missing, or something cannot be known and must be given.
    """
    shape = _Shapes(specs, source)
    home = family(dialect)
    if home == "timm" and "named" not in facts:
        told = timm_facts(names or specs, _timm_sizes(shape), facts, source)
        facts = {**told, **{k: v for k, v in facts.items() if v is not None}}
    elif home == "hf" and "named" not in facts:
        check_told(specs, facts, source)
    found = _READERS[home](shape, facts)
    if "pool" in found and facts.get("pool") not in (None, found["pool"]):
        raise UserError(
            f"{source}: the tensors have the pool {found['pool']!r}, but {facts['pool']!r} is "
            "asked for, or in the config.json beside them. One of them belongs to another model."
        )
    for name in ("width", "depth", "mlp_dim"):
        if name in facts and facts[name] != found[name]:
            raise UserError(
                f"{source}: the tensors have {name}={found[name]}, but the config.json beside "
                f"them says {facts[name]}. One of them belongs to another model."
            )
    told = {
        name: facts[name]
        for name in ("gelu", "norm_epsilon", "pool_includes_prefix", "pixel_mean", "pixel_std")
        if name in facts
    }
    prefix = found.pop("prefix_tokens")
    rows = found.pop("position_rows")
    found |= _sizes(rows, prefix, found, facts, source)
    try:
        return ViTConfig(**{**found, **told})
    except TypeError as error:
        raise UserError(f"{source}: a JSON file beside the weights is wrong: {error}.") from None


class _Shapes:
    """Shapes by name, with an error where one is missing or has another rank."""

    def __init__(self, specs: Specs, source: str):
        self.specs = specs
        self.source = source

    def __contains__(self, name: str) -> bool:
        return name in self.specs

    def of(self, name: str, rank: int) -> tuple[int, ...]:
        if name not in self.specs:
            raise UserError(f"{self.source}: expected a tensor {name!r}; there is none.")
        shape = self.specs[name].shape
        if len(shape) != rank or 0 in shape:
            raise UserError(
                f"{self.source}: {name!r}: expected {rank} dimensions and some numbers, "
                f"received the shape {shape}."
            )
        return shape

    def count(self, pattern: str) -> int:
        """How many different numbers the group of a pattern takes; they must start at the lowest
        possible and leave none out."""
        found = {int(m[1]) for name in self.specs if (m := re.match(pattern, name))}
        first = min(found, default=0)
        if first > 1 or found != set(range(first, first + len(found))):
            raise UserError(
                f"{self.source}: the numbers of {pattern!r} leave some out: {sorted(found)[:20]}."
            )
        return len(found)


def _flax(shape: _Shapes, facts: Mapping[str, Any]) -> dict[str, Any]:
    *patch_size, _, width = shape.of("embedding/kernel", 4)
    stacked = "Transformer/encoderblock/LayerNorm_0/scale" in shape
    if stacked:
        depth = shape.of("Transformer/encoderblock/LayerNorm_0/scale", 2)[0]
        block = "Transformer/encoderblock"
    else:
        depth = shape.count(r"Transformer/encoderblock_(\d+)/")
        block = "Transformer/encoderblock_0"
    number = "1" if f"{block}/MultiHeadDotProductAttention_1/query/kernel" in shape else "0"
    query = f"{block}/MultiHeadDotProductAttention_{number}/query/kernel"
    hidden = f"{block}/MlpBlock_{'3' if number == '1' else '0'}/Dense_0/kernel"
    tables = ("Transformer/posembed_input/pos_embedding", "pos_embedding")
    table = next((name for name in tables if name in shape), None)
    published = number == "1"
    pre_logits = "pre_logits/kernel"
    return {
        "channels": shape.of("embedding/kernel", 4)[2],
        "patch_size": tuple(patch_size),
        "width": width,
        "depth": depth,
        "num_heads": shape.of(query, 3 + stacked)[-2],
        "mlp_dim": shape.of(hidden, 2 + stacked)[-1],
        "class_token": "cls" in shape,
        "class_token_in_positions": table != "pos_embedding",
        # big_vision's fixed positions have no table; official files always have one.
        "position": "learned" if table else ("none" if published else "sincos2d"),
        "pool": _first_pool(shape, "MAPHead_0/probe", "cls"),
        "representation_size": shape.of(pre_logits, 2)[1] if pre_logits in shape else 0,
        "gelu": "tanh",
        "norm_epsilon": 1e-6,
        "position_rows": shape.of(table, 3)[1] if table else None,
        "prefix_tokens": int("cls" in shape and table != "pos_embedding"),
        **_head(shape, "head/kernel", "head/bias", outputs_first=False),
        **_flax_stem(shape),
    }


def _flax_stem(shape: _Shapes) -> dict[str, Any]:
    if "conv_root/kernel" not in shape:
        return {}
    _, _, channels, width = shape.of("conv_root/kernel", 4)
    stages = shape.count(r"block(\d+)/unit")
    units = tuple(shape.count(rf"block{stage + 1}/unit(\d+)/") for stage in range(stages))
    return {"channels": channels, "resnet_width": width, "resnet_stages": units}


def _timm(shape: _Shapes, facts: Mapping[str, Any]) -> dict[str, Any]:
    width, channels, *patch_size = shape.of("patch_embed.proj.weight", 4)
    depth = shape.count(r"blocks\.(\d+)\.")
    mlp_dim = shape.of("blocks.0.mlp.fc1.weight", 2)[0]
    second = "blocks.0.mlp.fc2.weight"
    read = shape.of(second, 2)[1] if second in shape else mlp_dim
    if read != mlp_dim:
        raise UserError(
            f"{shape.source}: the MLP makes {mlp_dim} numbers and reads {read}: a gated MLP "
            "(SwiGLU), which the model here has not."
        )
    registers = shape.of("reg_token", 3)[1] if "reg_token" in shape else 0
    tokens = int("cls_token" in shape) + int("dist_token" in shape)
    qk_norm = "blocks.0.attn.q_norm.weight" in shape
    known = shape.of("blocks.0.attn.q_norm.weight", 1)[0] if qk_norm else None
    pool = _first_pool(shape, "attn_pool.latent", "cls_token")
    if pool == "token" and ("fc_norm.weight" in shape or facts.get("pool") == "average"):
        pool = "average"
    rows = shape.of("pos_embed", 3)[1] if "pos_embed" in shape else None
    return {
        "channels": channels,
        "patch_size": tuple(patch_size),
        "width": width,
        "depth": depth,
        "mlp_dim": mlp_dim,
        "num_heads": _heads(width, known, facts, shape.source),
        "class_token": "cls_token" in shape,
        "distillation_token": "dist_token" in shape,
        "register_tokens": registers,
        "position": "none" if rows is None else "learned",
        "pool": pool,
        "norm_after_pool": "fc_norm.weight" in shape and pool == "average",
        "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in shape else None,
        "qk_norm": qk_norm,
        "gelu": "exact",
        "norm_epsilon": 1e-6,
        "position_rows": rows,
        # The table can cover all tokens before the patches, the class token alone, or none.
        "prefix_tokens": (tokens + registers, tokens, 0),
        **_head(shape, "head.weight", "head.bias", outputs_first=True),
        **_timm_stem(shape),
    }


def _timm_sizes(shape: _Shapes) -> tuple[int, int, int]:
    """Width, depth and width of the MLP."""
    width = shape.of("patch_embed.proj.weight", 4)[0]
    hidden = "blocks.0.mlp.fc1.weight"
    mlp_dim = shape.of(hidden, 2)[0] if hidden in shape else 0
    return width, shape.count(r"blocks\.(\d+)\."), mlp_dim


def _timm_stem(shape: _Shapes) -> dict[str, Any]:
    alone = "patch_embed.backbone.conv.weight"
    root = alone if alone in shape else "patch_embed.backbone.stem.conv.weight"
    if root not in shape:
        return {}
    width, channels, _, _ = shape.of(root, 4)
    stages = shape.count(r"patch_embed\.backbone\.stages\.(\d+)\.")
    units = tuple(
        shape.count(rf"patch_embed\.backbone\.stages\.{stage}\.blocks\.(\d+)\.")
        for stage in range(stages)
    )
    return {
        "channels": channels,
        "resnet_width": width,
        "resnet_stages": units,
        "resnet_form": "timm",
    }


def _hf(shape: _Shapes, facts: Mapping[str, Any]) -> dict[str, Any]:
    width, channels, *patch_size = shape.of("embeddings.patch_embeddings.projection.weight", 4)
    v5 = "layers.0.layernorm_before.weight" in shape
    depth = shape.count(r"layers\.(\d+)\." if v5 else r"encoder\.layer\.(\d+)\.")
    hidden = "layers.0.mlp.fc1.weight" if v5 else "encoder.layer.0.intermediate.dense.weight"
    mlp_dim = shape.of(hidden, 2)[0]
    if "embeddings.position_embeddings" not in shape:
        raise UserError(
            f"{shape.source}: has no table of positions; relative and rotary positions, and none "
            "at all, are not read from transformers."
        )
    two_tokens = "embeddings.distillation_token" in shape
    two_heads = "cls_classifier.weight" in shape
    head = "cls_classifier" if two_heads else "classifier"
    pooled = "pooler.dense.weight" in shape
    return {
        "channels": channels,
        "patch_size": tuple(patch_size),
        "width": width,
        "depth": depth,
        "mlp_dim": mlp_dim,
        "num_heads": _heads(width, None, facts, shape.source),
        "distillation_token": two_tokens and two_heads,
        # Without its head, DeiT's second token is one that nothing reads: a register.
        "register_tokens": int(two_tokens and not two_heads),
        "register_tokens_in_positions": two_tokens and not two_heads,
        "representation_size": shape.of("pooler.dense.weight", 2)[0] if pooled else 0,
        "gelu": "exact",
        "norm_epsilon": 1e-12,
        "position_rows": shape.of("embeddings.position_embeddings", 3)[1],
        "prefix_tokens": 1 + int(two_tokens),
        **_head(shape, f"{head}.weight", f"{head}.bias", outputs_first=True),
    }


_READERS = {"flax": _flax, "big_vision": _flax, "timm": _timm, "hf": _hf}


def _first_pool(shape: _Shapes, probe: str, class_token: str) -> str:
    if probe in shape:
        return "map"
    return "token" if class_token in shape else "average"


def _head(shape: _Shapes, kernel: str, bias: str, outputs_first: bool) -> dict[str, Any]:
    if kernel not in shape:
        return {"num_classes": 0}
    outputs = shape.of(kernel, 2)[0 if outputs_first else 1]
    return {"num_classes": outputs, "head_bias": 0.0 if bias in shape else None}


def _heads(width, head_dim, facts, source) -> int:
    """Heads of an attention in whose tensors they do not show."""
    if facts.get("num_heads"):
        return facts["num_heads"]
    if head_dim:
        return width // head_dim
    heads, of_width = facts.get("heads_of_width", (None, None))
    if of_width == width and heads:
        return heads
    other = (
        f"{facts.get('named')} has a width of {of_width}, the tensors of {width}; " if heads else ""
    )
    raise UserError(
        f"{source}: {other}nothing in the file tells the number of attention heads. "
        f"Give num_heads=, e.g. num_heads={max(1, width // 64)}."
    )


def _sizes(rows, prefix, found, facts, source) -> dict[str, Any]:
    """Image size, and which tokens the position table covers."""
    stages = found.get("resnet_stages")
    stride = 1 if stages is None else 4 * 2 ** max(0, len(stages) - 1)
    cell = tuple(stride * size for size in found["patch_size"])
    size = facts.get("image_size")
    size = (size, size) if isinstance(size, int) else size
    if rows is None:
        return {"image_size": size or _guessed_size(found, cell, source)}
    cells = [side % step for side, step in zip(size or (), cell, strict=False)]
    if any(cells) and not facts.get("asked_size"):
        covered = tuple(side // step * step for side, step in zip(size, cell, strict=True))
        raise UserError(
            f"{source}: was made for images of {size[0]} x {size[1]} pixels, of which patches of "
            f"{cell[0]} cover {covered[0]} x {covered[1]}; the rest was cut off. To give it images "
            f"of that size, say so with image_size={covered}."
        )
    options = prefix if isinstance(prefix, tuple) else (prefix,)
    grids = {covered: _square(rows - covered) for covered in options if rows > covered}
    if size and len(size) == 2 and all(isinstance(side, int) for side in size):
        wanted = (size[0] // cell[0], size[1] // cell[1])
        # A table of just as many rows was made for that grid, square or not.
        exact = {k: wanted for k in grids if rows - k == wanted[0] * wanted[1]}
        grids = exact or grids
    grids = {covered: grid for covered, grid in grids.items() if grid}
    if len(grids) != 1:
        raise UserError(
            f"{source}: {rows} positions and patches of {cell} pixels do not tell the image size. "
            f"Give image_size=(height, width) of the file, e.g. {(cell[0] * 14, cell[1] * 14)}."
        )
    ((covered, grid),) = grids.items()
    sizes: dict[str, Any] = {"image_size": (grid[0] * cell[0], grid[1] * cell[1])}
    if isinstance(prefix, tuple):
        sizes["class_token_in_positions"] = covered > 0 or prefix[1] == 0
        sizes["register_tokens_in_positions"] = covered == prefix[0] and prefix[0] > prefix[1]
    return sizes


def _square(number: int) -> tuple[int, int] | None:
    side = math.isqrt(number)
    return (side, side) if side * side == number else None


def _guessed_size(found, cell, source) -> tuple[int, int]:
    """Fixed positions fit any image; published sizes were trained at 224, small ones at 32."""
    published = any(row[0] == found["width"] for row in VARIANTS.values())
    wanted = 224 if published or max(cell) > 8 else 32
    size = tuple(max(1, round(wanted / side)) * side for side in cell)
    _log.warning(
        "%s: nothing in the file tells the image size; taking %d x %d. "
        "If that is wrong, give image_size=.",
        source,
        *size,
    )
    return size
