# SPDX-License-Identifier: MIT
"""What norms read that stand inside a branch, divided by 2^k where float16 would overflow.

A norm squares what it reads, and the square of 256 is infinite in float16. It does not see a factor
if its epsilon has the square of it, so that what is written to it can be divided beforehand, as the
residual stream is (`keras_vit.export.residual`), and no output changes:

* a norm after a branch, and one of projected patches, read a dense layer, which is divided;
* a norm of the joined heads reads the values;
* a norm in a gated MLP reads a product, of which one factor is divided. After GELU and SiLU there
  is no such layer: there the graph has one multiplication more, where it is needed;
* the norm in a pool of attention reads what the head reads too, so that the pool's MLP is divided
  as well, and the head's kernel multiplied.
"""

import re
from collections.abc import Mapping

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.forward import forward
from keras_vit.export.numpy_ops import NumpyOps
from keras_vit.export.residual import multiplied, power_for, undone_in_head

Arrays = dict[str, np.ndarray]


def has_inner_norms(config: ViTConfig) -> bool:
    """Whether there are norms that do not read the residual stream."""
    return (
        config.norm_placement == "after"
        or config.attention_inner_norm
        or config.mlp_inner_norm
        or config.patch_norm
        or config.pool == "map"
    )


def inner_scaled(weights: Mapping[str, np.ndarray], config: ViTConfig, pictures) -> Arrays:
    """The weights of a graph in whose inner norms nothing overflows.

    Args:
        weights: those of `keras_vit.export.folding`.
        config: the model's configuration; one with a ResNet stem is left as it is.
        pictures: pixels on which it is measured, `(n, height, width, channels)`.
    """
    weights = dict(weights)
    if config.resnet_stages is not None or not has_inner_norms(config):
        return weights
    ops = _Measuring({name: np.asarray(a, "float32") for name, a in weights.items()})
    with np.errstate(all="ignore"):  # weights that are NaN are reported elsewhere
        forward(ops, config, pictures)
    for norm, largest in ops.largest.items():
        scale = power_for(largest)
        if scale < 1:
            weights = _divided(weights, norm, scale, config)
    return weights


class _Measuring(NumpyOps):
    """Remembers the largest number that each norm squares, by the norm's name.

    The graph asks for a norm's epsilon before it squares what the norm reads.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]):
        super().__init__(weights)
        self.largest: dict[str, float] = {}
        self._norm = ""

    def weight(self, name: str) -> np.ndarray:
        if name.endswith("/epsilon"):
            self._norm = name.removesuffix("/epsilon")
        return super().weight(name)

    def multiply(self, x, y):
        if x is y and self._norm:
            self.largest[self._norm] = float(np.abs(x).max())
            self._norm = ""
        return super().multiply(x, y)


def _divided(weights: Arrays, norm: str, scale: float, config: ViTConfig) -> Arrays:
    """The weights with what a norm reads times `scale`; those of the stream as they are."""
    name = re.escape(norm)
    if norm == "patch_norm":
        found = multiplied(weights, "patches/", scale)
    elif norm.endswith("/attention_inner"):
        found = _values_times(weights, norm.replace("/attention_inner", "/qkv"), scale)
    elif norm.endswith("/mlp_inner"):
        block = name.removesuffix("/mlp_inner")
        if f"{norm.removesuffix('_inner')}_gate/kernel" in weights or config.activation == "relu":
            found = multiplied(weights, f"{block}/mlp_hidden/", scale)
        else:
            found = {**weights, f"{norm}/scale": np.asarray(scale)}
    elif norm == "pool":
        found = multiplied(weights, "pool/(attention|mlp)_output/", scale)
        found = undone_in_head(found, scale, config)
    elif re.match(r"block_\d+/(attention|mlp)_norm$", norm):
        found = multiplied(weights, f"{name.removesuffix('_norm')}_output/", scale)
    else:
        return weights
    return multiplied(found, f"{name}/epsilon$", scale**2)


def _values_times(weights: Arrays, qkv: str, scale: float) -> Arrays:
    """The weights with the values of a joined matrix multiplied."""
    found = dict(weights)
    for part in (f"{qkv}/kernel", f"{qkv}/bias"):
        if part in found:
            array = np.array(found[part], "float64")
            array[..., 2 * array.shape[-1] // 3 :] *= scale  # queries, keys, values
            found[part] = array
    return found
