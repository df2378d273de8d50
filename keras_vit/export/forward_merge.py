# SPDX-License-Identifier: MIT
"""Token merging in the exported graph (ToMe, arXiv 2210.09461, section 3).

After the attention of a block, patches are divided in turns into two sets. Each of the first set
finds the one of the second whose key is most similar, and those with the most similar partners are
merged into them: the mean of both, weighed by how many patches each of them stands for already.
Tokens before the patches stay as they are.

Sorting, gathering and comparing are not among what LiteRT's XNNPACK and its GPU path compute, so
all of it is products, softmax and clamps: what is chosen is a matrix of zeros and ones. Where two
similarities differ by less than float32 can tell, the first patch counts as the more similar.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.forward_parts import normalized

# Similarities are -1 to 1 times this. A power of two, so that nothing is rounded; softmax of
# numbers this large is 1 for the largest and 0 for what is below it by 0.1 %.
_SHARPNESS = 2.0**14
# What 1 becomes before it is clamped to 6, so that the smallest difference that float32 has at a
# quarter of the sharpness, 2^-11, is above the clamp too; float16 has this number.
_STEEPNESS = 2.0**14
_EPSILON = 1e-6  # of the mean square of a key
_NOTHING = 2.0**-24  # added to sizes, which it does not change: an empty token is not divided by 0


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Tokens on their way through the graph.

    Attributes:
        rows: `(batch * count, D)`.
        count: of an image; those before the patches come first.
        sizes: how many patches each stands for, `(batch, count, 1)`; None for one each.
    """

    rows: Any
    count: int
    sizes: Any = None


def merged(ops, config: ViTConfig, tokens: Tokens, keys, patches: int) -> Tokens:
    """Merges the most similar patches.

    Args:
        ops: see `keras_vit.export.forward`.
        config: the model's configuration.
        tokens: those after the attention of a block.
        keys: that attention's, `(batch, heads, tokens, head_dim)`.
        patches: how many to leave, half of those there are or more.

    Returns:
        Tokens before the patches, patches of the first set that were not merged, from the most
        similar on, and the second set. Of an odd number the first patch stays as it is.
    """
    before = tokens.count - config.num_prefix_tokens
    gone, pairs = before - patches, before // 2
    if not gone:
        return tokens
    with ops.scope("merge"):
        similarities = _similarities(ops, config, keys, pairs)
        partners = ops.softmax(similarities)  # (B, P, P): of each of the first set, one 1
        ranks = _ranks(ops, similarities, pairs)
        keep, move = _choices(ops, partners, ranks, pairs, gone)
        return _joined(ops, config, tokens, keep, move, gone)


def log_sizes(ops, tokens: Tokens, rank: int):
    """What is added to the scores of a token, so that softmax counts it as often as it has patches
    (equation 1): `(batch, 1, ..., 1, count)` of this rank."""
    return ops.log(ops.reshape(tokens.sizes, (-1, *[1] * (rank - 2), tokens.count)))


def _similarities(ops, config: ViTConfig, keys, pairs: int):
    """Cosines of the keys of both sets, the mean over the heads, times the sharpness: (B, P, P)."""
    width = config.head_dim
    keys = ops.mean(keys, axes=(1,), keepdims=False)  # (B, T, head_dim)
    keys = normalized(ops, ops.last(keys, 2 * pairs, axis=1), ops.number(_EPSILON))
    first, second = _in_turns(ops, keys, pairs, width)
    first = ops.multiply(first, ops.number(_SHARPNESS / width))
    return ops.matmul(first, ops.transpose(second, (0, 2, 1)))


def _in_turns(ops, x, pairs: int, width: int):
    """Both sets of the patches `(B, 2 P, width)`, each `(B, P, width)`."""
    x = ops.reshape(x, (-1, pairs, 2 * width))
    return ops.first(x, width, axis=2), ops.last(x, width, axis=2)


def _ranks(ops, similarities, pairs: int):
    """How many of the first set have a more similar partner, times six: `(B, 1, P)`.

    A clamp from 0 to 6 is one operator everywhere, and tanh a clamp that float16 does not overflow
    after.
    """
    best = ops.max(similarities, axis=2)  # (B, P, 1)
    # How much more similar the patch of row j is than that of column i.
    ahead = ops.tanh(ops.subtract(best, ops.reshape(best, (-1, 1, pairs))))
    ahead = ops.multiply(ahead, ops.number(_STEEPNESS))
    # Of rank four, as all constants that are added (`keras_vit.export.lint`).
    earlier = 6 * np.triu(np.ones((pairs, pairs)), 1)  # of two that are equal row j comes first
    ahead = ops.reshape(ahead, (-1, 1, pairs, pairs))
    ahead = ops.relu6(ops.add(ahead, _constant(ops, "earlier", earlier[None, None])))
    return ops.sum(ops.reshape(ahead, (-1, pairs, pairs)), axes=(1,), keepdims=True)


def _choices(ops, partners, ranks, pairs: int, gone: int):
    """Which of the first set become which tokens.

    Returns:
        Rows of zeros and ones over the first set: of those that stay, `(B, P - gone, P)` or None
        where none does, and of the second set, whom the others are merged into, `(B, P, P)`.
    """
    sixth = ops.number(1 / 6)
    stays = ops.relu6(ops.subtract(ranks, ops.number(6.0 * (gone - 1))))  # 6, or 0 if merged
    moves = ops.multiply(ops.subtract(ops.number(6.0), stays), sixth)
    move = ops.multiply(ops.transpose(partners, (0, 2, 1)), moves)
    if gone == pairs:
        return None, move
    # 6 where the rank is the place, 0 elsewhere: the difference of two clamps, a place apart.
    places = 6.0 * np.arange(gone, pairs)[None, :, None]
    reached, passed = (
        ops.relu6(ops.subtract(ranks, _constant(ops, "places", edge)))  # (B, P - gone, P)
        for edge in (places - 6, places)
    )
    return ops.multiply(ops.subtract(reached, passed), sixth), move


def _joined(ops, config: ViTConfig, tokens: Tokens, keep, move, gone: int) -> Tokens:
    """The tokens that the choices make: sums of patches, divided by how many these are."""
    pairs = (tokens.count - config.num_prefix_tokens) // 2
    alone = tokens.count - 2 * pairs  # those before the patches, and of an odd number the first
    x = ops.reshape(tokens.rows, (-1, tokens.count, config.width))
    patches, size = ops.last(x, 2 * pairs, axis=1), None
    if tokens.sizes is not None:
        size = ops.last(tokens.sizes, 2 * pairs, axis=1)
        patches = ops.multiply(patches, size)
    first, second = _in_turns(ops, patches, pairs, config.width)
    sums = ops.add(second, ops.matmul(move, first))
    if keep is not None:
        sums = ops.concatenate([ops.matmul(keep, first), sums], axis=1)
    counts = _counts(ops, size, keep, move, pairs)
    root = ops.rsqrt(counts)
    means = ops.multiply(sums, ops.multiply(root, root))
    if alone:
        means = ops.concatenate([ops.first(x, alone, axis=1), means], axis=1)
    count = tokens.count - gone
    rows = ops.reshape(means, (-1, config.width))
    return Tokens(rows, count, _with_alone(ops, tokens, counts, alone, count))


def _counts(ops, size, keep, move, pairs: int):
    """How many patches each sum is of, `(B, 2 P - gone, 1)`.

    Args:
        size: how many each patch stands for, `(B, 2 P, 1)`; None for one each.
    """
    if size is None:
        first, second = None, ops.number(1.0)
    else:
        first, second = _in_turns(ops, size, pairs, 1)

    def added(choice):
        if first is None:
            return ops.sum(choice, axes=(2,), keepdims=True)
        return ops.matmul(choice, first)

    counts = ops.add(added(move), second)
    if keep is not None:
        counts = ops.concatenate([added(keep), counts], axis=1)
    return ops.add(counts, ops.number(_NOTHING))


def _with_alone(ops, tokens: Tokens, counts, alone: int, count: int):
    """The sizes of all tokens, `(B, count, 1)`."""
    if not alone:
        return counts
    if tokens.sizes is not None:
        return ops.concatenate([ops.first(tokens.sizes, alone, axis=1), counts], axis=1)
    # One each: padding is right on a GPU for rank four only (`keras_vit.export.lint`).
    others = ops.reshape(ops.subtract(counts, ops.number(1.0)), (-1, count - alone, 1, 1))
    others = ops.reshape(ops.zeros_before(others, alone), (-1, count, 1))
    return ops.add(others, ops.number(1.0))


def _constant(ops, name: str, array: np.ndarray):
    shape = "x".join(map(str, array.shape))
    return ops.constant(f"merge/{name}/{shape}/{array.flat[0]:g}", array.astype("float32"))
