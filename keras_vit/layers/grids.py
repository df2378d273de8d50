# SPDX-License-Identifier: MIT
"""Grids of patches."""

import math

from keras_vit.errors import UserError


def grid_of(count: int, grid: tuple[int, int], layer: str) -> tuple[int, int]:
    """Rows and columns of so many patches, in the aspect ratio of a grid.

    Args:
        count: number of patches.
        grid: rows and columns that a layer was made for.
        layer: its class, for the message.

    Raises:
        UserError: for a number of patches that has no such grid.
    """
    rows, columns = grid
    new_rows = max(1, round(math.sqrt(count * rows / columns)))
    new_columns = count // new_rows
    if new_rows * new_columns != count or new_rows * columns != new_columns * rows:
        raise UserError(
            f"{layer}: expected {rows * columns} patches in a grid of {rows} x {columns}, "
            f"or a grid of this aspect ratio, received {count} patches."
        )
    return new_rows, new_columns
