# SPDX-License-Identifier: MIT
"""Rotary positions: queries and keys are turned by angles that depend on where their patch is."""

import math

import keras
import numpy as np
from keras import ops

from keras_vit.errors import unknown
from keras_vit.layers.grids import grid_of

KINDS = ("axial", "dinov3", "mixed")


@keras.saving.register_keras_serializable("keras_vit")
class RotaryEmbedding(keras.layers.Layer):
    """Turns the halves of each head against each other (arXiv 2104.09864, in two dimensions).

    A head [a, b] of the patch at row y and column x becomes [a cos - b sin, b cos + a sin], with
    head_dim / 2 angles:

    * "axial" (arXiv 2303.11331): [y omega, x omega], omega_j = temperature ** (-4 j / head_dim), y
      and x counted in patches from `offset`;
    * "dinov3" (arXiv 2508.10104): the same, y and x being 2 pi times the center of the patch in an
      image that reaches from -1 to 1;
    * "mixed" (arXiv 2403.13298): y f_y + x f_x with learned frequencies of each head.

    Tokens before the patches are not turned. Libraries that turn neighbors instead of halves, or
    put x before y, have the same model with the channels of queries and keys in another order.

    Args:
        kind: one of these.
        grid: rows and columns of patches.
        num_prefix_tokens: tokens before the patches.
        temperature: how much slower the slowest wave turns than the fastest.
        reference_grid: rows and columns that "axial" coordinates are scaled to, so that another
            resolution spans what the model has seen; None for the grid at hand.
        offset: of the first patch, for "axial".

    Input and output: `(batch, num_prefix_tokens + patches, heads, head_dim)`. Another number of
        patches is taken for a grid of the same aspect ratio.
    """

    def __init__(
        self,
        kind: str,
        grid: tuple[int, int],
        num_prefix_tokens: int = 0,
        temperature: float = 10_000.0,
        reference_grid: tuple[int, int] | None = None,
        offset: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise unknown("rotary", kind, KINDS)
        self.kind = kind
        self.grid = (*grid,)
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature
        self.reference_grid = (*reference_grid,) if reference_grid else None
        self.offset = offset

    def build(self, input_shape):
        self.frequencies = None
        if self.kind == "mixed":
            heads, head_dim = input_shape[-2:]
            self.frequencies = self.add_weight(
                (2, heads, head_dim // 2), self._initial_frequencies, name="frequencies"
            )

    def call(self, x):
        angles = self.angles(x.shape[1] - self.num_prefix_tokens, x.shape[-1])
        cos, sin = (ops.cast(wave, x.dtype) for wave in (ops.cos(angles), ops.sin(angles)))
        prefix, patches = x[:, : self.num_prefix_tokens], x[:, self.num_prefix_tokens :]
        a, b = ops.split(patches, 2, axis=-1)  # (B, N, heads, head_dim / 2)
        turned = [a * cos - b * sin, b * cos + a * sin]
        patches = ops.concatenate(turned, axis=-1)
        return ops.concatenate([prefix, patches], axis=1) if self.num_prefix_tokens else patches

    def angles(self, count: int, head_dim: int):
        """The angles of so many patches: `(count, 1 or heads, head_dim / 2)`, float32."""
        grid = grid_of(count, self.grid, type(self).__name__)
        places = coordinates(self.kind, grid, self.reference_grid, self.offset)
        if self.frequencies is None:
            angles = axial_angles(places, head_dim, self.temperature)[:, None]
            return ops.convert_to_tensor(angles.astype("float32"))
        frequencies = ops.cast(self.frequencies, "float32")
        return ops.einsum("na,ahf->nhf", places.astype("float32"), frequencies)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "grid": self.grid,
            "num_prefix_tokens": self.num_prefix_tokens,
            "temperature": self.temperature,
            "reference_grid": self.reference_grid,
            "offset": self.offset,
        }

    def _initial_frequencies(self, shape, dtype=None):
        """Axial waves along two axes that are turned by a random angle in each head."""
        _, heads, half = shape
        omega = self.temperature ** (-np.arange(half // 2) / (half / 2))  # as in `axial_angles`
        turn = keras.random.uniform((heads, 1), 0.0, 2 * math.pi)
        x, y = (
            ops.concatenate([omega * wave(turn), omega * wave(turn + math.pi / 2)], axis=1)
            for wave in (ops.cos, ops.sin)
        )
        return ops.cast(ops.stack([y, x]), dtype or "float32")  # (2, heads, head_dim / 2)


def coordinates(
    kind: str,
    grid: tuple[int, int],
    reference_grid: tuple[int, int] | None = None,
    offset: float = 0.0,
) -> np.ndarray:
    """Where the patches of a grid are.

    Args:
        kind: see `RotaryEmbedding`, as for the others.
        grid: rows and columns.
        reference_grid: see there.
        offset: see there.

    Returns:
        float64 `(rows * columns, 2)`: y and x in reading order.
    """
    index = np.mgrid[: grid[0], : grid[1]].reshape(2, -1).T  # (N, 2)
    if kind == "dinov3":
        return 2 * np.pi * ((index + 0.5) / grid * 2 - 1)
    if kind == "mixed":
        return index.astype("float64")
    return (index + offset) * (np.divide(reference_grid, grid) if reference_grid else 1.0)


def axial_angles(places: np.ndarray, head_dim: int, temperature: float) -> np.ndarray:
    """Angles of the two axes side by side.

    Args:
        places: `(patches, 2)`, see `coordinates`.
        head_dim: size of a head, a multiple of 4.
        temperature: see `RotaryEmbedding`.

    Returns:
        float64 `(patches, head_dim / 2)`: those of y, then those of x.
    """
    omega = temperature ** (-np.arange(head_dim // 4) / (head_dim // 4))
    return np.concatenate([places[:, :1] * omega, places[:, 1:] * omega], axis=1)
