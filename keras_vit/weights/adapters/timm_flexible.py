# SPDX-License-Identifier: MIT
"""timm's NaFlexVit at one size of images.

It takes patches of images of any size, and makes positions for each grid out of those that it
learned. Here they are made for one grid, so that the model is an ordinary Vision Transformer, which
is written as one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.interpolation import matrix
from keras_vit.weights.adapter import Taps
from keras_vit.weights.adapters.timm import Timm, encoder_fields
from keras_vit.weights.adapters.timm_tables import rules
from keras_vit.weights.binding import Binding, bind
from keras_vit.weights.config_files import Facts
from keras_vit.weights.formats import Checkpoint, Spec
from keras_vit.weights.infer import Tensors
from keras_vit.weights.table import DENSE, Rule, row

if TYPE_CHECKING:
    from keras_vit.weights.source import Source

_LEARNED = ("embeds.pos_embed",)
_BY_SIDE = ("embeds.pos_embed_y", "embeds.pos_embed_x")


class TimmFlexible(Timm):
    """`NaFlexVit`, whose positions are made for a grid when they are read."""

    name = "timm_naflex"
    dialects = {"timm_naflex": ()}
    landmarks = ("embeds.proj.weight",)
    older = (
        *Timm.older,
        (r"embeds\.(proj|norm)\.(.*)", r"patch_embed.\1.\2"),
        (r"embeds\.(cls_token|reg_token)", r"\1"),
    )
    written_to = ()

    def describes(self, config: dict[str, Any]) -> bool:
        return str(config.get("architecture")).startswith("naflexvit")

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, numbers = tensors.shape("patch_embed.proj.weight", 2)
        side = facts.get("grid_patch")
        if not side or numbers % side**2:
            raise UserError(
                f"{tensors.source}: nothing tells the size of a patch, of which the projection "
                f"reads {numbers} numbers. Name the architecture, e.g. "
                "architecture='naflexvit_base_patch16_siglip'."
            )
        positions = any(name in tensors for name in (*_LEARNED, *_BY_SIDE))
        registers = tensors.shape("reg_token", 3)[1] if "reg_token" in tensors else 0
        return {
            "channels": numbers // side**2,
            "patch_size": (side, side),
            "class_token": "cls_token" in tensors,
            "register_tokens": registers,
            "position": "learned" if positions else "none",
            "class_token_in_positions": "cls_token" not in tensors,
            "patch_bias": "patch_embed.proj.bias" in tensors,
            "patch_norm": "patch_embed.norm.weight" in tensors,
            "position_rows": None,
            "prefix_tokens": 0,
            **encoder_fields(width, tensors, facts),
        }

    def sized(self, tensors: Tensors, facts: Facts) -> Facts:
        return {**facts, "image_size": facts.get("asked_size") or facts.get("image_size")}

    def computed(self, checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
        sources = [name for name in (*_LEARNED, *_BY_SIDE) if name in checkpoint]
        if not sources:
            return checkpoint
        specs = {n: spec for n, spec in checkpoint.specs.items() if n not in sources}
        specs["pos_embed"] = Spec((1, config.num_patches, config.width), "float32")

        def read(name: str) -> np.ndarray:
            if name != "pos_embed":
                return checkpoint[name]
            make = _of_table if sources == [*_LEARNED] else _of_sides
            return make([checkpoint[name] for name in sources], config.grid, facts)

        return Checkpoint(checkpoint.source, specs, read, checkpoint.metadata)

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        return bind(dialect, (_PROJECTION, *rules(config)), config, self.placeholders(config))

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        from keras_vit.weights.parity import timm_reference

        own = [name for name in source.whole if name not in source.skipped]
        state = {name.removeprefix(source.prefix): source.whole[name] for name in own}
        return timm_reference.run(source, images, state)


# Patches are flattened as ours are.
_PROJECTION: Rule = row("patch_encoder/projection/kernel", "patch_embed.proj.weight", DENSE)


def _of_table(tables: list[np.ndarray], grid: tuple[int, int], facts: Facts) -> np.ndarray:
    """Positions of a grid out of a table of `(1, rows, columns, width)`."""
    table = tables[0].astype(np.float32, copy=False)[0]  # (R, C, D)
    if table.shape[:2] == grid:
        return table.reshape(1, -1, table.shape[-1])
    made = (max(grid), max(grid)) if facts.get("grid_square") else grid
    method = (
        "zoom" if facts.get("grid_corners") else facts.get("grid_method") or "bicubic_antialias"
    )
    rows, columns = (matrix(*sizes, method) for sizes in zip(table.shape, made, strict=False))
    found = np.einsum("yr,xc,rcd->yxd", rows, columns, table, optimize=True)
    return found[: grid[0], : grid[1]].reshape(1, -1, table.shape[-1]).astype(np.float32)


def _of_sides(tables: list[np.ndarray], grid: tuple[int, int], facts: Facts) -> np.ndarray:
    """Positions of a grid as sums of one for the row and one for the column."""
    lengths = (max(grid), max(grid)) if facts.get("grid_square") else grid
    y, x = (
        (matrix(table.shape[1], length, "bilinear") @ table[0])[:side]  # (side, D)
        for table, length, side in zip(tables, lengths, grid, strict=True)
    )
    return (y[:, None] + x).reshape(1, -1, y.shape[-1]).astype(np.float32)
