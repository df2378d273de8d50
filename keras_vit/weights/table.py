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
Count = Callable[[ViTConfig], int]
Order = Callable[[ViTConfig], np.ndarray]


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


def _heads(count: Count) -> tuple[Transform, Transform, Transform]:
    """The layouts of an attention with so many heads: kernels of queries, keys and values, their
    biases, and the kernel after them."""
    return (
        # (D, heads, d) <-> (heads * d, D)
        Transform(
            lambda x, c: x.reshape(x.shape[0], -1).T,
            lambda x, c: x.T.reshape(x.shape[1], count(c), -1),
        ),
        # (heads, d) <-> (heads * d,)
        Transform(lambda x, c: x.reshape(-1), lambda x, c: x.reshape(count(c), -1)),
        # (heads, d, D) <-> (D, heads * d)
        Transform(
            lambda x, c: x.reshape(-1, x.shape[-1]).T,
            lambda x, c: x.T.reshape(count(c), -1, x.shape[0]),
        ),
    )


HEADS_IN, HEADS_BIAS, HEADS_OUT = _heads(lambda c: c.num_heads)
# A pool may have heads of its own.
POOL_HEADS_IN, POOL_HEADS_BIAS, POOL_HEADS_OUT = _heads(lambda c: c.pool_heads or c.num_heads)
# (C,) <-> (1, 1, 1, C)
CHANNELS_LAST = Transform(lambda x, c: x.reshape(1, 1, 1, -1), lambda x, c: x.reshape(x.shape[-1]))
# (1, rows, D) <-> (rows, D)
UNBATCHED = Transform(lambda x, c: x[0], lambda x, c: x[None])
# (1, 1, D) <-> (D,)
ONE_TOKEN = Transform(lambda x, c: x[0, 0], lambda x, c: x[None, None])


def reordered(transform: Transform, order: Order) -> Transform:
    """The same change of layout, and other places for the channels of a head.

    Args:
        transform: whose last axis with us is that of the channels.
        order: of a configuration, for each of our channels the place where they have it.
    """

    def to_theirs(x: np.ndarray, config: ViTConfig) -> np.ndarray:
        return transform.to_theirs(x[..., np.argsort(order(config))], config)

    def to_ours(x: np.ndarray, config: ViTConfig) -> np.ndarray:
        return transform.to_ours(x, config)[..., order(config)]

    return Transform(to_theirs, to_ours)


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row: `ours` (joined in this order) <-> `theirs`, through a transform.

    Attributes:
        ours: patterns of our paths, as `keras_vit.config.variables` has them.
        theirs: pattern of their name.
        transform: how the numbers are laid out; one for each of `ours` where they differ.
        optional: whether a file may lack it in all blocks together, which means zeros.
        axis: of their tensor, along which blocks are stacked.
    """

    ours: tuple[str, ...]
    theirs: str
    transform: Transform | tuple[Transform, ...] = SAME
    optional: bool = False
    axis: int = 0

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """One for each of `ours`."""
        if isinstance(self.transform, Transform):
            return (self.transform,) * len(self.ours)
        return self.transform


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


def optional(rules: Iterable[Rule]) -> list[Rule]:
    """The same rows, of which a file may lack the biases."""
    return [dataclasses.replace(r, optional=r.theirs.endswith(".bias")) for r in rules]


def torch_norm(ours: str, theirs: str) -> list[Rule]:
    """Weight and bias of a norm of PyTorch."""
    return [row(f"{ours}/gamma", f"{theirs}.weight"), row(f"{ours}/beta", f"{theirs}.bias")]


def torch_gated(ours: str, theirs: str) -> list[Rule]:
    """Linear layer of PyTorch that makes the gate of an MLP and what it multiplies, in one."""
    return [
        Rule((f"{ours}/gate/kernel", f"{ours}/hidden/kernel"), f"{theirs}.weight", DENSE),
        Rule((f"{ours}/gate/bias", f"{ours}/hidden/bias"), f"{theirs}.bias"),
    ]


def torch_heads_in(
    ours: str,
    parts: tuple[str, ...],
    theirs: str,
    optional: bool = False,
    order: Order | None = None,
    pool: bool = False,
) -> list[Rule]:
    """Linear layer of PyTorch that makes queries, keys or values: one of them, or several joined.

    Args:
        ours: path of the attention.
        parts: of "query", "key" and "value", those that their layer makes, in its order.
        theirs: name of their layer.
        optional: whether their biases may be missing.
        order: of the channels of queries and keys, where theirs are not ours (see `reordered`).
        pool: whether it is the attention of a pool, which may have heads of its own.
    """
    kernel, bias = (POOL_HEADS_IN, POOL_HEADS_BIAS) if pool else (HEADS_IN, HEADS_BIAS)

    def of(leaf: str) -> tuple[str, ...]:
        return tuple(f"{ours}/{part}/{leaf}" for part in parts)

    def each(transform: Transform) -> tuple[Transform, ...]:
        turned = transform if order is None else reordered(transform, order)
        return tuple(transform if part == "value" else turned for part in parts)

    return [
        Rule(of("kernel"), f"{theirs}.weight", each(kernel)),
        Rule(of("bias"), f"{theirs}.bias", each(bias), optional),
    ]


def torch_heads_out(ours: str, theirs: str, pool: bool = False) -> list[Rule]:
    """Linear layer of PyTorch after an attention."""
    kernel = POOL_HEADS_OUT if pool else HEADS_OUT
    return [
        row(f"{ours}/attention_output/kernel", f"{theirs}.weight", kernel),
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
