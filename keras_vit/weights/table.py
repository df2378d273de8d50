# SPDX-License-Identifier: MIT
"""What a table of names is made of: rows, the changes of layout in them, and rows that recur.

A row says which of our variables a tensor of theirs holds. It is read in both directions. In its
patterns, `{block}` counts Transformer blocks from 0, `{stage}` and `{unit}` the parts of a ResNet
stem from 1; `{stage0}` and `{unit0}` are one less, `{block1}` is one more. Several of our paths in
a row are concatenated in their tensor; a row of ours with `{block}` and theirs without is stacked
over the blocks.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from keras_vit.config import ViTConfig

Change = Callable[[np.ndarray, ViTConfig], np.ndarray]


class Transform(NamedTuple):
    """A change of layout and its exact inverse; both may return views."""

    to_theirs: Change
    to_ours: Change


# Dense kernels are (inputs, outputs) with us and in Flax, and (outputs, inputs) in PyTorch.
# Attention kernels keep their heads apart with us and in Flax, and do not in PyTorch.
SAME = Transform(lambda x, c: x, lambda x, c: x)
# (inputs, outputs) <-> (outputs, inputs)
DENSE = Transform(lambda x, c: x.T, lambda x, c: x.T)
# (H, W, in, out) <-> (out, in, H, W)
CONVOLUTION = Transform(lambda x, c: x.transpose(3, 2, 0, 1), lambda x, c: x.transpose(2, 3, 1, 0))
# (P * P * C, D) <-> (P, P, C, D)
PATCHES_FLAX = Transform(
    lambda x, c: x.reshape(*c.patch_size, c.stem_channels, c.width),
    lambda x, c: x.reshape(c.patch_pixels, c.width),
)
# (P * P * C, D) <-> (D, C, P, P)
PATCHES_TORCH = Transform(
    lambda x, c: x.reshape(*c.patch_size, c.stem_channels, c.width).transpose(3, 2, 0, 1),
    lambda x, c: x.transpose(2, 3, 1, 0).reshape(c.patch_pixels, c.width),
)
# (D, heads, d) <-> (heads * d, D)
HEADS_IN = Transform(
    lambda x, c: x.reshape(c.width, c.width).T,
    lambda x, c: x.T.reshape(c.width, c.num_heads, c.head_dim),
)
# (heads, d) <-> (heads * d,)
HEADS_BIAS = Transform(
    lambda x, c: x.reshape(c.width), lambda x, c: x.reshape(c.num_heads, c.head_dim)
)
# (heads, d, D) <-> (D, heads * d)
HEADS_OUT = Transform(
    lambda x, c: x.reshape(c.width, c.width).T,
    lambda x, c: x.T.reshape(c.num_heads, c.head_dim, c.width),
)
# (C,) <-> (1, 1, 1, C)
CHANNELS_LAST = Transform(lambda x, c: x.reshape(1, 1, 1, -1), lambda x, c: x.reshape(x.shape[-1]))
# (1, rows, D) <-> (rows, D)
UNBATCHED = Transform(lambda x, c: x[0], lambda x, c: x[None])
# (1, 1, D) <-> (D,)
ONE_TOKEN = Transform(lambda x, c: x[0, 0], lambda x, c: x[None, None])


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row: `ours` (joined in this order) <-> `theirs`, through a transform.

    Attributes:
        ours: patterns of our paths, as `keras_vit.config.variables` has them.
        theirs: pattern of their name.
        transform: how the numbers are laid out.
        optional: whether a file may lack it in all blocks together, which means zeros.
    """

    ours: tuple[str, ...]
    theirs: str
    transform: Transform = SAME
    optional: bool = False


def row(ours: str, theirs: str, transform: Transform = SAME) -> Rule:
    """A row of one variable and one tensor."""
    return Rule((ours,), theirs, transform)


def flax_dense(ours: str, theirs: str) -> list[Rule]:
    """Kernel and bias of a dense layer of Flax, or of Keras."""
    return [row(f"{ours}/{leaf}", f"{theirs}/{leaf}") for leaf in ("kernel", "bias")]


def flax_norm(ours: str, theirs: str) -> list[Rule]:
    """Scale and bias of a norm of Flax."""
    return [row(f"{ours}/gamma", f"{theirs}/scale"), row(f"{ours}/beta", f"{theirs}/bias")]


def torch_dense(ours: str, theirs: str) -> list[Rule]:
    """Weight and bias of a linear layer of PyTorch."""
    return [row(f"{ours}/kernel", f"{theirs}.weight", DENSE), row(f"{ours}/bias", f"{theirs}.bias")]


def torch_norm(ours: str, theirs: str) -> list[Rule]:
    """Weight and bias of a norm of PyTorch."""
    return [row(f"{ours}/gamma", f"{theirs}.weight"), row(f"{ours}/beta", f"{theirs}.bias")]


def torch_heads_in(
    ours: str, parts: tuple[str, ...], theirs: str, optional: bool = False
) -> list[Rule]:
    """Linear layer of PyTorch that makes queries, keys or values: one of them, or several joined.

    Args:
        ours: path of the attention.
        parts: of "query", "key" and "value", those that their layer makes, in its order.
        theirs: name of their layer.
        optional: whether their biases may be missing.
    """

    def of(leaf: str) -> tuple[str, ...]:
        return tuple(f"{ours}/{part}/{leaf}" for part in parts)

    return [
        Rule(of("kernel"), f"{theirs}.weight", HEADS_IN),
        Rule(of("bias"), f"{theirs}.bias", HEADS_BIAS, optional),
    ]


def torch_heads_out(ours: str, theirs: str) -> list[Rule]:
    """Linear layer of PyTorch after an attention."""
    return [
        row(f"{ours}/attention_output/kernel", f"{theirs}.weight", HEADS_OUT),
        row(f"{ours}/attention_output/bias", f"{theirs}.bias"),
    ]


def renamed(rules: Iterable[Rule], *pairs: tuple[str, str]) -> tuple[Rule, ...]:
    """The same rows with parts of their names replaced, in the order given."""
    result = []
    for rule in rules:
        theirs = rule.theirs
        for old, new in pairs:
            theirs = theirs.replace(old, new)
        result.append(dataclasses.replace(rule, theirs=theirs))
    return tuple(result)
