# SPDX-License-Identifier: MIT
"""Which operations an image undergoes, and how strongly.

A policy draws numbers: for each operation in sequence its position in a list of names and its
argument (a factor, degrees, pixels, bits or a threshold). Another function applies them, with one
branch for each name.
"""

import tensorflow as tf

from keras_vit.data.pipeline.augmentation import geometry, values
from keras_vit.data.pipeline.augmentation.tables import (
    AUGREG_OPS,
    AUTO_POLICIES,
    BLENDS,
    DEIT_OPS,
    TRIVIAL_OPS,
)
from keras_vit.recipes import Augmentation


def apply_policy(image, plan: Augmentation, seed):
    """Draws operations and applies them to one image.

    Args:
        image: uint8 `(height, width, channels)` with a known shape.
        plan: with a policy.
        seed: int32 `(2,)`.

    Returns:
        The same shape and type.
    """
    names, draw = policy(plan, image.shape[:2])
    apply = applier(names, image.shape)
    choices, arguments, places = draw(seed)  # (layers,), (layers,), (layers, 2)
    for layer in range(choices.shape[0]):
        image = apply(image, choices[layer], arguments[layer], places[layer])
    return image


def applier(names, shape):
    """Makes the function that applies one of several operations to one image.

    Args:
        names: of operations, or "identity".
        shape: height, width and channels.

    Returns:
        A function of a uint8 image, the position of a name (int32), the operation's strength
        (float32) and a place (float32 `(2,)`, for `cutout`).
    """
    image, number = tf.TensorSpec(shape, tf.uint8), tf.TensorSpec([], tf.float32)
    signature = (image, number, tf.TensorSpec([2], tf.float32))
    with tf.init_scope():
        branches = [
            tf.function(_operation(name), autograph=False).get_concrete_function(*signature)
            for name in names
        ]

    def apply(image, choice, argument, place):
        # `tf.switch_case` would lay the nodes of all branches into one graph, where each of them
        # costs time for each image, taken or not.
        (result,) = tf.raw_ops.StatelessCase(
            branch_index=choice, input=[image, argument, place], Tout=[tf.uint8], branches=branches
        )
        return tf.ensure_shape(result, shape)

    return apply


def _operation(name: str):
    """The operation of a name as a function of image, strength and place."""
    if name == "identity":
        return lambda image, argument, place: tf.identity(image)
    if name in ("auto_contrast", "equalize", "invert"):
        return lambda image, argument, place: getattr(values, name)(image)
    if name == "cutout":
        return geometry.cutout
    room = geometry if hasattr(geometry, name) else values
    return lambda image, argument, place: getattr(room, name)(image, argument)


def color_jitter(image, strength: float, seed):
    """Changes brightness, contrast and saturation, in random order.

    Args:
        image: uint8 `(height, width, channels)` with a known shape.
        strength: each factor is drawn from 1 - strength to 1 + strength.
        seed: int32 `(2,)`.
    """
    # Rows of draws: the order of the three, and their factors.
    draws = tf.random.stateless_uniform([2, 3], seed)
    order = tf.argsort(draws[0])
    factors = 1 + strength * (2 * draws[1] - 1)
    apply = applier(("brightness", "contrast", "color"), image.shape)
    for turn in range(3):
        image = apply(image, order[turn], factors[turn], tf.zeros([2]))
    return image


def policy(plan: Augmentation, size: tuple[int, int]):
    """The operations of a policy and the function that draws among them.

    Args:
        plan: with a policy.
        size: height and width of the images.

    Returns:
        Names, and a function of an int32 `(2,)` seed that returns for each operation in sequence
        its position in the names, int32 `(layers,)`, its argument, float32 `(layers,)`, and a
        place, float32 `(layers, 2)`, shares of height and width.
    """
    return {
        "randaugment": _randaugment,
        "autoaugment": _autoaugment,
        "trivialaugment": _trivialaugment,
        "3augment": _3augment,
    }[plan.policy](plan, size)


def _randaugment(plan: Augmentation, size: tuple[int, int]):
    ops = DEIT_OPS if plan.increasing else AUGREG_OPS
    slopes = [op.slope * (_side(op.name, size) if op.sides else 1) for op in ops]
    start, slope = tf.constant([op.start for op in ops], tf.float32), tf.constant(slopes)
    signed, whole = tf.constant([op.signed for op in ops]), tf.constant([op.whole for op in ops])

    def draw(seed):
        # Rows of draws: operation, sign, whether it is applied, and two for the place.
        draws = tf.random.stateless_uniform([5, plan.layers], seed)
        magnitude = tf.fill([plan.layers], float(plan.magnitude))
        if plan.magnitude_std:
            noise = tf.random.stateless_normal([plan.layers], tf.random.fold_in(seed, 1))
            magnitude = tf.maximum(magnitude + plan.magnitude_std * noise, 0.0)
        if plan.increasing:
            magnitude = tf.minimum(magnitude, 10.0)
        choice = _position(draws[0], len(ops))  # (layers,)
        moved = tf.gather(slope, choice) * magnitude / 10
        moved = tf.where(
            tf.gather(whole, choice), tf.cast(tf.cast(moved, tf.int32), tf.float32), moved
        )
        argument = tf.gather(start, choice) + _sign(draws[1], tf.gather(signed, choice)) * moved
        applied = draws[2] < plan.op_prob
        # The name after the last operation is "identity".
        return tf.where(applied, choice, len(ops)), argument, tf.transpose(draws[3:])

    return (*(op.name for op in ops), "identity"), draw


def _autoaugment(plan: Augmentation, size: tuple[int, int]):
    names = sorted({name for row in AUTO_POLICIES for name in (row[0], row[3])})
    pairs = [(row[:3], row[3:]) for row in AUTO_POLICIES]
    # Of each constant the rows are the 25 pairs of operations, and the columns first and second.
    kind = tf.constant([[names.index(name) for name, _, _ in pair] for pair in pairs])
    probability = tf.constant([[share for _, share, _ in pair] for pair in pairs])
    settings = [[_auto_argument(name, level / 9, size) for name, _, level in p] for p in pairs]
    start, moved = (tf.constant([[s[i] for s in p] for p in settings], tf.float32) for i in (0, 1))
    signed = tf.constant([[s[2] for s in pair] for pair in settings])

    def draw(seed):
        # Draws: the pair, the signs of both, whether each is applied.
        draws = tf.random.stateless_uniform([5], seed)
        chosen = _position(draws[0], len(pairs))
        argument = start[chosen] + _sign(draws[1:3], signed[chosen]) * moved[chosen]
        applied = draws[3:] < probability[chosen]
        return tf.where(applied, kind[chosen], len(names)), argument, tf.zeros([2, 2])

    return (*names, "identity"), draw


def _auto_argument(name: str, level: float, size: tuple[int, int]):
    """Start, displacement, and whether its sign is drawn, for a level of 0 to 1."""
    if name in BLENDS:
        return 1, 0.9 * level, True
    if name.startswith("translate"):  # 150 pixels of ImageNet's 331 in the paper
        return 0, 150 / 331 * _side(name, size) * level, True
    return {
        "rotate": (0, 30 * level, True),
        "shear_y": (0, 0.3 * level, True),
        "posterize": (8, -round(4 * level), False),
        "solarize": (256, -256 * level, False),
    }.get(name, (0, 0, False))


def _trivialaugment(plan: Augmentation, size: tuple[int, int]):
    start = tf.constant([op[1] for op in TRIVIAL_OPS], tf.float32)
    moved = tf.constant([op[2] for op in TRIVIAL_OPS], tf.float32)  # (operations, levels)
    signed = tf.constant([op[3] for op in TRIVIAL_OPS])

    def draw(seed):
        # Rows of draws: operation, level, sign; one operation for an image.
        draws = tf.random.stateless_uniform([3, 1], seed)
        choice, level = _position(draws[0], len(TRIVIAL_OPS)), _position(draws[1], 31)
        sign = _sign(draws[2], tf.gather(signed, choice))
        argument = tf.gather(start, choice) + sign * moved[choice[0], level[0]]
        return choice, argument, tf.zeros([1, 2])

    return tuple(op[0] for op in TRIVIAL_OPS), draw


def _3augment(plan: Augmentation, size: tuple[int, int]):
    def draw(seed):
        draws = tf.random.stateless_uniform([2], seed)
        choice = _position(draws[:1], 3)
        # Grey is no color at all; the deviation of the blur is drawn from 0.1 to 2 pixels.
        argument = tf.stack([0.0, 128.0, 0.1 + 1.9 * draws[1]])
        return choice, tf.gather(argument, choice), tf.zeros([1, 2])

    return ("color", "solarize", "gaussian_blur"), draw


def _side(name: str, size: tuple[int, int]) -> int:
    """The side that an operation moves along; the shorter one for both."""
    return {"translate_x": size[1], "translate_y": size[0]}.get(name, min(size))


def _position(draw, count: int):
    """From 0 <= draw < 1 to a position among `count`."""
    return tf.cast(draw * count, tf.int32)


def _sign(draw, signed):
    return tf.where(signed & (draw < 0.5), -1.0, 1.0)
