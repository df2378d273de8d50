# SPDX-License-Identifier: MIT
"""Relative positions of timm, as one table of offsets for each block.

`Beit` and `RelPosBias` have such a table, of each block or shared by all; `RelPosMlp` has an MLP
that makes the numbers out of the logarithms of offsets (arXiv 2111.09883, equation 4) and is
evaluated here.
"""

import re

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.adapters.timm_tables import kind_of
from keras_vit.weights.config_files import Facts
from keras_vit.weights.formats import Checkpoint, Spec
from keras_vit.weights.infer import Tensors

_TABLE = "relative_position_bias_table"
_SHARED = re.compile(r"(shared_rel_pos|rel_pos_bias)\.(.*)")
_OF_BLOCK = re.compile(r"blocks\.(\d+)\.attn\.(rel_pos)\.(.*)")
_FIRST = "blocks.0.attn."


def has_bias(tensors: Tensors) -> bool:
    """Whether a file has relative positions."""
    names = (_FIRST + _TABLE, f"{_FIRST}rel_pos.{_TABLE}", f"{_FIRST}rel_pos.mlp.fc1.weight")
    return any(name in tensors for name in names) or any(map(_SHARED.match, tensors.specs))


def sized(tensors: Tensors, facts: Facts) -> Facts:
    """The facts of a file; an MLP makes positions for the size that is asked for."""
    if facts.get("asked_size") and any(".mlp.fc1" in n and "rel_pos" in n for n in tensors.specs):
        return {**facts, "image_size": facts["asked_size"]}
    return facts


def with_tables(checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
    """The checkpoint with a table for each block, under the name that the model has in timm."""
    homes = _homes(checkpoint, config.depth)
    if not config.relative_position_bias or not homes:
        return checkpoint
    infix = "rel_pos." if kind_of(config) == "VisionTransformerRelPos" else ""
    tables = {f"blocks.{i}.attn.{infix}{_TABLE}": home for i, home in homes.items()}
    rest = [n for n in checkpoint if not (_SHARED.match(n) or _OF_BLOCK.match(n))]
    rows, columns = (2 * side - 1 for side in config.grid)
    shape = rows * columns + 3 * config.class_token, config.num_heads

    def read(new: str) -> np.ndarray:
        if new not in tables:
            return checkpoint[new]
        if tables[new] + _TABLE not in checkpoint:
            return _of_mlp(checkpoint, tables[new], config, facts.get("relative_mode") or "cr")
        table = checkpoint[tables[new] + _TABLE]
        return table + checkpoint[new] if new in rest else table  # one for all, and one besides

    specs = {n: checkpoint.specs[n] for n in rest}
    specs |= {
        n: checkpoint.specs.get(h + _TABLE, Spec(shape, "float32")) for n, h in tables.items()
    }
    return Checkpoint(checkpoint.source, specs, read, checkpoint.metadata)


def _homes(checkpoint: Checkpoint, depth: int) -> dict[int, str]:
    """By block, what stands before the names of its relative positions."""
    shared = sorted({match[1] for name in checkpoint if (match := _SHARED.match(name))})
    if shared:
        return dict.fromkeys(range(depth), f"{shared[0]}.")
    found = sorted({int(match[1]) for name in checkpoint if (match := _OF_BLOCK.match(name))})
    return {i: f"blocks.{i}.attn.rel_pos." for i in found}


def _of_mlp(checkpoint: Checkpoint, home: str, config: ViTConfig, mode: str) -> np.ndarray:
    """The table that an MLP makes; pairs with the class token have no bias."""
    offsets = log_offsets(config.grid, mode)  # (rows, 2)
    hidden = offsets @ checkpoint[f"{home}mlp.fc1.weight"].astype(np.float32).T
    hidden = np.maximum(0.0, hidden + checkpoint[f"{home}mlp.fc1.bias"])
    table = hidden @ checkpoint[f"{home}mlp.fc2.weight"].astype(np.float32).T  # (rows, heads)
    if f"{home}mlp.fc2.bias" in checkpoint:
        table = table + checkpoint[f"{home}mlp.fc2.bias"]
    if mode == "swin":
        table = 16 / (1 + np.exp(-table))
    rest = np.zeros((3 * config.class_token, config.num_heads), np.float32)
    return np.concatenate([table.astype(np.float32), rest])


def log_offsets(grid: tuple[int, int], mode: str) -> np.ndarray:
    """The offsets of two patches, rows and columns, on a scale of logarithms.

    Args:
        grid: rows and columns of patches.
        mode: "swin" scales them to -8 to 8 first (arXiv 2111.09883); timm's own "cr" does not.

    Returns:
        float32 `((2 * rows - 1) * (2 * columns - 1), 2)`.
    """
    sides: list[np.ndarray] = [np.arange(1 - side, side, dtype=np.float32) for side in grid]
    if mode == "swin":
        sides = [8 * values / (side - 1) for values, side in zip(sides, grid, strict=True)]
    sides = [np.sign(values) * np.log1p(np.abs(values)) for values in sides]
    if mode == "swin":
        sides = [values / np.log(np.float32(8)) for values in sides]
    return np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
