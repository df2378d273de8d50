# SPDX-License-Identifier: MIT
"""Which axis of a variable is divided among devices, by its path and shape."""

import math
import re
from collections.abc import Sequence

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError

# Dividing less than this saves nothing: a bias, a norm, a token.
_LEAST = 512

# Heads and hidden units are divided: each device computes its own, and one sum over the devices
# ends the attention, another the MLP (arXiv 1909.08053, section 3). The rest is small, and whole
# everywhere. An autoencoder's decoder, attention pooling and LoRA's adapters are named likewise.
_BLOCK = r"(?:^|.*/)(?:(?:decoder_)?block_\d+|pool)"
_DIVIDED = tuple(
    (re.compile(f"{_BLOCK}/{pattern}"), axis)
    for pattern, axis in (
        (r"attention/(?:query|key|value)/kernel", 1),  # (width, heads, head_dim)
        (r"attention/(?:query|key|value)/bias", 0),  # (heads, head_dim)
        (r"attention/(?:query|key|value)/lora_kernel_a", 1),  # (width, heads, rank)
        (r"attention/attention_output/(?:kernel|lora_kernel_a)", 0),  # (heads, head_dim, ...)
        (r"attention/rotary/frequencies", 1),  # (2, heads, head_dim / 2)
        (r"attention/relative_position_bias/table", 1),  # (offsets, heads)
        (r"mlp/(?:gate|hidden)/(?:kernel|lora_kernel_b)", 1),  # (..., mlp_dim)
        (r"mlp/(?:gate|hidden)/bias", 0),  # (mlp_dim,)
        (r"mlp/inner_norm/(?:gamma|beta)", 0),  # (mlp_dim,)
        (r"mlp/output_projection/(?:kernel|lora_kernel_a)", 0),  # (mlp_dim, ...)
    )
)


def model_axis(path: str, shape: Sequence[int], shards: int) -> int | None:
    """The axis of a variable that "model" divides, None for a variable that stays whole.

    Args:
        path: as `keras.Variable.path`.
        shape: of the variable.
        shards: devices that share one model.
    """
    for pattern, axis in _DIVIDED:
        if pattern.fullmatch(path) and shape[axis] % shards == 0:
            return axis
    return None


def fsdp_axis(shape: Sequence[int], devices: int) -> int | None:
    """The axis of a variable that "fsdp" divides: the longest that can be; None for none."""
    axes = [axis for axis, length in enumerate(shape) if length % devices == 0]
    if math.prod(shape) < _LEAST or not axes:
        return None
    return max(axes, key=lambda axis: shape[axis])


def check_shards(config: ViTConfig, shards: int) -> None:
    """Raises a `UserError` where the heads or hidden units of a model cannot be divided."""
    for name in ("num_heads", "mlp_dim"):
        count = getattr(config, name)
        if count % shards:
            raise UserError(
                f"distribution=model(shards={shards}): expected a divisor of model.{name}={count}."
            )
