# SPDX-License-Identifier: MIT
"""A learnable number for each head and each offset between two patches."""

import keras
import numpy as np
from keras import ops

from keras_vit.errors import UserError


@keras.saving.register_keras_serializable("keras_vit")
class RelativePositionBias(keras.layers.Layer):
    """What is added to the scores of attention (BEiT, arXiv 2106.08254).

    Args:
        grid: rows and columns of patches.
        class_token: whether a class token stands before them.

    Input: the queries, `(batch, tokens, heads, head_dim)`. Output: `(1, heads, tokens, tokens)`.
    """

    def __init__(self, grid: tuple[int, int], class_token: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.class_token = class_token

    def build(self, input_shape):
        rows, num_heads = num_offsets(self.grid, self.class_token), input_shape[-2]
        self.table = self.add_weight((rows, num_heads), "zeros", name="table")

    def call(self, queries):
        tokens = queries.shape[1]
        index = relative_position_index(self.grid, self.class_token)  # (T, T)
        if tokens != len(index):
            rows, columns = self.grid
            raise UserError(
                f"{type(self).__name__}: expected the {len(index)} tokens of a grid of {rows} x "
                f"{columns}, received {tokens}. Load the checkpoint with another image_size=."
            )
        bias = ops.reshape(ops.take(self.table, index.ravel(), axis=0), (*index.shape, -1))
        # (1, H, T, T)
        return ops.cast(ops.expand_dims(ops.transpose(bias, (2, 0, 1)), 0), queries.dtype)

    def compute_output_shape(self, input_shape):
        tokens, num_heads = input_shape[1:3]
        return 1, num_heads, tokens, tokens

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "class_token": self.class_token}


def num_offsets(grid: tuple[int, int], class_token: bool) -> int:
    """Rows of the table: offsets between patches, and three for the class token."""
    rows, columns = grid
    return (2 * rows - 1) * (2 * columns - 1) + 3 * class_token


def relative_position_index(grid: tuple[int, int], class_token: bool) -> np.ndarray:
    """Which row of the table each pair of tokens reads.

    Offsets are in reading order, from the largest distance upwards and to the left. Then follow
    what the class token reads of a patch, a patch of the class token, and that token of itself.

    Args:
        grid: rows and columns of patches.
        class_token: whether a class token stands before them.

    Returns:
        int32 `(tokens, tokens)`: [query, key].
    """
    rows, columns = grid
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)  # each (N,)
    down = y[:, None] - y + rows - 1  # (N, N), 0 to 2 rows - 2
    right = x[:, None] - x + columns - 1
    index = down * (2 * columns - 1) + right
    if class_token:
        last = num_offsets(grid, class_token)
        index = np.pad(index, ((1, 0), (1, 0)))
        index[0, :], index[:, 0], index[0, 0] = last - 3, last - 2, last - 1
    return index.astype("int32")
