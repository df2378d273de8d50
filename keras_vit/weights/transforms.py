# SPDX-License-Identifier: MIT
"""How one array becomes another, each way by name.

Dense kernels are (inputs, outputs) with us and in Flax, and (outputs, inputs) in PyTorch; attention
kernels keep their heads apart with us and in Flax, and do not in PyTorch.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_vit.config import ViTConfig

Change = Callable[[np.ndarray, ViTConfig], np.ndarray]


class Transform(NamedTuple):
    """A change of layout and its exact inverse; both may return views."""

    to_theirs: Change
    to_ours: Change


TRANSFORMS: dict[str, Transform] = {
    "same": Transform(lambda x, c: x, lambda x, c: x),
    # (inputs, outputs) <-> (outputs, inputs)
    "dense": Transform(lambda x, c: x.T, lambda x, c: x.T),
    # (H, W, in, out) <-> (out, in, H, W)
    "convolution": Transform(
        lambda x, c: x.transpose(3, 2, 0, 1), lambda x, c: x.transpose(2, 3, 1, 0)
    ),
    # (P * P * C, D) <-> (P, P, C, D)
    "patches_flax": Transform(
        lambda x, c: x.reshape(*c.patch_size, c.stem_channels, c.width),
        lambda x, c: x.reshape(c.patch_pixels, c.width),
    ),
    # (P * P * C, D) <-> (D, C, P, P)
    "patches_torch": Transform(
        lambda x, c: x.reshape(*c.patch_size, c.stem_channels, c.width).transpose(3, 2, 0, 1),
        lambda x, c: x.transpose(2, 3, 1, 0).reshape(c.patch_pixels, c.width),
    ),
    # (D, heads, d) <-> (heads * d, D)
    "heads_in": Transform(
        lambda x, c: x.reshape(c.width, c.width).T,
        lambda x, c: x.T.reshape(c.width, c.num_heads, c.head_dim),
    ),
    # (heads, d) <-> (heads * d,)
    "heads_bias": Transform(
        lambda x, c: x.reshape(c.width), lambda x, c: x.reshape(c.num_heads, c.head_dim)
    ),
    # (heads, d, D) <-> (D, heads * d)
    "heads_out": Transform(
        lambda x, c: x.reshape(c.width, c.width).T,
        lambda x, c: x.T.reshape(c.num_heads, c.head_dim, c.width),
    ),
    # (C,) <-> (1, 1, 1, C): the GroupNorms of files written before Flax Linen
    "channels_last": Transform(
        lambda x, c: x.reshape(1, 1, 1, -1), lambda x, c: x.reshape(x.shape[-1])
    ),
    # (1, rows, D) <-> (rows, D)
    "unbatched": Transform(lambda x, c: x[0], lambda x, c: x[None]),
}
