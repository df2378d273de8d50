# SPDX-License-Identifier: MIT
"""Turns patches into tokens that know where they are."""

import keras
import numpy as np
from keras import ops

from keras_vit.errors import UserError, unknown
from keras_vit.interpolation import matrix
from keras_vit.layers.composite import Composite
from keras_vit.layers.grids import grid_of
from keras_vit.layers.norms import make_norm

POSITIONS = ("learned", "sincos2d", "none")


@keras.saving.register_keras_serializable("keras_vit")
class PatchEncoder(Composite):
    """Projects patches, adds positions and puts the class and register tokens before them.

    The second half of equation 1 of arXiv 2010.11929: z_0 = [x_class; x_p E] + E_pos.

    Args:
        width: size of a token (D).
        grid: rows and columns of patches.
        class_token: whether a learnable class token comes first.
        class_token_in_positions: whether the position table has a row for the class token (the
            paper). Without, the class token carries no position (big_vision).
        distillation_token: whether a second learnable token follows it (arXiv 2012.12877); its
            position is like that of the class token.
        register_tokens: learnable tokens after the class token (arXiv 2309.16588).
        register_tokens_in_positions: whether the position table has rows for them; without, they
            carry no position.
        position: "learned", "sincos2d" (see `sincos2d`; not a weight) or "none".
        dropout: rate on the result, 0 to 1.
        patch_bias: whether the projection has a bias.
        patch_norm: whether projected patches are normalised before they get positions.
        norm: what that norm is: "layer" or "rms".
        norm_epsilon: its epsilon.

    Input: `(batch, rows * columns, patch_pixels)`. Another number of patches is taken for a grid of
        the same aspect ratio (arXiv 1906.06423): learned positions are resampled to it by an
        antialiased bicubic, fixed ones are those of that grid.
    Output: `(batch, num_prefix_tokens + patches, width)`, in the order class, distillation,
        registers, patches.

    Raises:
        UserError: for a number of patches that has no such grid.
    """

    def __init__(
        self,
        width: int,
        grid: tuple[int, int],
        class_token: bool = True,
        class_token_in_positions: bool = True,
        distillation_token: bool = False,
        register_tokens: int = 0,
        register_tokens_in_positions: bool = False,
        position: str = "learned",
        dropout: float = 0.0,
        patch_bias: bool = True,
        patch_norm: bool = False,
        norm: str = "layer",
        norm_epsilon: float = 1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if position not in POSITIONS:
            raise unknown("position", position, POSITIONS)
        self.width = width
        self.grid = (*grid,)
        self.class_token = class_token
        self.class_token_in_positions = class_token_in_positions
        self.distillation_token = distillation_token
        self.register_tokens = register_tokens
        self.register_tokens_in_positions = register_tokens_in_positions
        self.position = position
        self.dropout = dropout
        self.patch_bias = patch_bias
        self.has_patch_norm = patch_norm
        self.norm = norm
        self.norm_epsilon = norm_epsilon

    def build(self, input_shape):
        rows, columns = self.grid
        if input_shape[1] != rows * columns:
            raise UserError(
                f"PatchEncoder: expected {rows * columns} patches for a grid of {rows} x "
                f"{columns}, received {input_shape[1]}."
            )
        self.projection = keras.layers.Dense(
            self.width,
            use_bias=self.patch_bias,
            kernel_initializer="lecun_normal",
            name="projection",
            dtype=self.dtype_policy,
        )
        self.projection.build(input_shape)
        self.patch_norm = None
        if self.has_patch_norm:
            self.patch_norm = make_norm(
                self.norm, self.norm_epsilon, name="patch_norm", dtype=self.dtype_policy
            )
            self.patch_norm.build((*input_shape[:-1], self.width))
        self._add_embeddings(rows * columns)
        self.output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.restore_quantization()

    def _add_embeddings(self, patches):
        """Tokens before so many patches, and where there are learned ones, positions of all."""
        self.class_embedding = self.distillation_embedding = None
        self.register_embedding = self.position_embedding = None
        if self.class_token:
            self.class_embedding = self.add_weight(
                (1, 1, self.width), "zeros", name="class_embedding"
            )
        if self.distillation_token:
            self.distillation_embedding = self.add_weight(
                (1, 1, self.width), "zeros", name="distillation_embedding"
            )
        if self.register_tokens:
            self.register_embedding = self.add_weight(
                (1, self.register_tokens, self.width),
                keras.initializers.RandomNormal(stddev=1e-6),
                name="register_embedding",
            )
        if self.position == "learned":
            self.position_embedding = self.add_weight(
                (1, patches + self.num_prefix_positions, self.width),
                keras.initializers.RandomNormal(stddev=0.02),
                name="position_embedding",
            )

    def call(self, patches, training=None):
        x = self.projection(patches)  # (B, N, D)
        x = x if self.patch_norm is None else self.patch_norm(x)
        prefix = []
        positioned = self.num_prefix_positions
        if self.class_token:
            prefix.append(self.class_embedding)
        if self.distillation_token:
            prefix.append(self.distillation_embedding)
        prefix = [
            token + self.position_embedding[:, i : i + 1] if positioned else token
            for i, token in enumerate(prefix)
        ]
        if self.register_tokens:
            registers = self.register_embedding
            if self.register_tokens_in_positions and positioned:
                registers = registers + self.position_embedding[:, len(prefix) : positioned]
            prefix.append(registers)
        if self.position != "none":
            x = x + ops.cast(self._patch_positions(patches.shape[1]), x.dtype)
        if prefix:
            batch = ops.shape(x)[0]
            prefix = [
                ops.broadcast_to(ops.cast(token, x.dtype), (batch, *token.shape[1:]))
                for token in prefix
            ]
            x = ops.concatenate([*prefix, x], axis=1)  # (B, prefix + N, D)
        return self.output_dropout(x, training=training)

    def _patch_positions(self, count: int):
        """The positions of so many patches, `(1, count, width)`."""
        grid = grid_of(count, self.grid, type(self).__name__)
        if self.position == "sincos2d":
            return sincos2d(grid, self.width)[None]
        table = self.position_embedding[:, self.num_prefix_positions :]
        if grid == self.grid:
            return table
        rows, columns = (
            ops.cast(matrix(old, new, "bicubic_antialias"), table.dtype)
            for old, new in zip(self.grid, grid, strict=True)
        )
        table = ops.reshape(table, (*self.grid, self.width))  # (R, C, D)
        table = ops.einsum("yr,rcd->ycd", rows, table)
        table = ops.einsum("xc,ycd->yxd", columns, table)
        return ops.reshape(table, (1, count, self.width))

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.num_prefix_tokens + input_shape[1], self.width

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "grid": self.grid,
            "class_token": self.class_token,
            "class_token_in_positions": self.class_token_in_positions,
            "distillation_token": self.distillation_token,
            "register_tokens": self.register_tokens,
            "register_tokens_in_positions": self.register_tokens_in_positions,
            "position": self.position,
            "dropout": self.dropout,
            "patch_bias": self.patch_bias,
            "patch_norm": self.has_patch_norm,
            "norm": self.norm,
            "norm_epsilon": self.norm_epsilon,
        }

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens that come before the patches."""
        return int(self.class_token) + int(self.distillation_token) + self.register_tokens

    @property
    def num_prefix_positions(self) -> int:
        """Rows of the position table that belong to tokens before the patches."""
        if self.position != "learned" or not self.class_token_in_positions:
            return 0
        registers = self.register_tokens if self.register_tokens_in_positions else 0
        return int(self.class_token) + int(self.distillation_token) + registers


def sincos2d(grid: tuple[int, int], width: int, temperature: float = 10_000.0) -> np.ndarray:
    """Fixed two-dimensional positions in the form of MoCo v3 (arXiv 2104.02057).

    With omega_j = temperature ** (-j / (width / 4 - 1)) for j = 0 .. width / 4 - 1, the cell in row
    y and column x gets [sin(x omega), cos(x omega), sin(y omega), cos(y omega)].

    Args:
        grid: rows and columns.
        width: size of a token, a multiple of 4 that is at least 8.
        temperature: how slowly the slowest wave turns.

    Returns:
        float32 `(rows * columns, width)` in reading order, values in [-1, 1].
    """
    if width % 4 or width < 8:
        raise UserError(
            f"sincos2d: expected a width that is a multiple of 4 and at least 8, received {width}."
        )
    y, x = np.mgrid[: grid[0], : grid[1]].reshape(2, -1, 1)  # each (N, 1)
    omega = temperature ** (-np.arange(width // 4) / (width // 4 - 1))  # (D / 4,)
    waves = [np.sin(x * omega), np.cos(x * omega), np.sin(y * omega), np.cos(y * omega)]
    return np.concatenate(waves, axis=1).astype("float32")
