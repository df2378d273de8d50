# SPDX-License-Identifier: MIT
"""Norms and the MLP of the exported graph; see `keras_vit.export.forward`."""

from keras_vit.config import ViTConfig
from keras_vit.export.residual import loses_mean

# Quick GELU is SiLU between two factors, which are in the weights.
_OPERATORS = {"quick_gelu": "silu"}


def normalized(ops, x, epsilon):
    """Without scale and offset, an RMS norm, or LayerNorm of rows whose mean is zero already."""
    variance = ops.mean(ops.multiply(x, x), axes=(-1,), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.add(variance, epsilon)))


def without_mean(ops, x):
    """Rows less their mean over the last axis."""
    return ops.subtract(x, ops.mean(x, axes=(-1,), keepdims=True))


def normalized_of_any_mean(ops, config: ViTConfig, x, epsilon):
    """The norm of what no folded matrix has taken the mean of."""
    return normalized(ops, without_mean(ops, x) if config.norm == "layer" else x, epsilon)


def stream_normalized(ops, config: ViTConfig, x):
    """The norm of the residual stream, which may be scaled (`keras_vit.export.residual`)."""
    epsilon = ops.weight("residual/epsilon")
    if loses_mean(config):
        return normalized(ops, x, epsilon)
    return normalized_of_any_mean(ops, config, x, epsilon)


def affine(ops, x, name: str):
    """Scale and offset of a norm; of an RMS norm the scale."""
    x = ops.multiply(x, ops.weight(f"{name}/gamma"))
    return ops.add(x, ops.weight(f"{name}/beta")) if ops.has(f"{name}/beta") else x


def mlp(ops, config: ViTConfig, x, name: str):
    """The MLP of `name`, without the norm before it."""
    kind = _OPERATORS.get(config.activation, config.activation)
    if ops.has(f"{name}/mlp_gate/kernel"):
        # Two products: one for both would have to be split into copies of its halves.
        gate = ops.activation(ops.dense(x, f"{name}/mlp_gate"), kind)
        x = ops.multiply(gate, ops.dense(x, f"{name}/mlp_hidden"))
    else:
        x = ops.activation(ops.dense(x, f"{name}/mlp_hidden"), kind)
    x = inner_normalized(ops, config, x, f"{name}/mlp_inner")
    return ops.dense(x, f"{name}/mlp_output")


def inner_normalized(ops, config: ViTConfig, x, name: str):
    """The norm before the last matrix of a branch, which has its scale and offset; x without."""
    if not ops.has(f"{name}/epsilon"):
        return x
    if ops.has(f"{name}/scale"):  # for float16 (`keras_vit.export.inner_scales`)
        x = ops.multiply(x, ops.weight(f"{name}/scale"))
    return normalized_of_any_mean(ops, config, x, ops.weight(f"{name}/epsilon"))
