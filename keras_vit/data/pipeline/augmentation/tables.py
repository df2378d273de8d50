# SPDX-License-Identifier: MIT
"""The operations of each policy and their strengths, as they were published."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Op:
    """An operation of RandAugment.

    The argument is `start + sign * slope * level`, where the level is the magnitude / 10.

    Attributes:
        name: a function of `values` or `geometry`.
        start, slope: see above.
        signed: whether the sign is drawn; else it is +1.
        whole: whether `slope * level` is cut off to a whole number.
        sides: whether the argument is a share of the side that it moves along.
    """

    name: str
    start: float = 0.0
    slope: float = 0.0
    signed: bool = False
    whole: bool = False
    sides: bool = False


_MOVES = (
    Op("rotate", 0, 30, signed=True),
    Op("shear_x", 0, 0.3, signed=True),
    Op("shear_y", 0, 0.3, signed=True),
)
_PLAIN = (Op("auto_contrast"), Op("equalize"), Op("invert"), *_MOVES)
BLENDS = ("color", "contrast", "brightness", "sharpness")
# AugReg's operations move and cover pixels of images of 224 x 224: 100 and 40 of them.
AUGREG_OPS = (
    *_PLAIN,
    Op("posterize", 0, 4, whole=True),
    Op("solarize", 0, 256, whole=True),
    Op("solarize_add", 0, 110, whole=True),
    *(Op(name, 0.1, 1.8) for name in BLENDS),
    Op("translate_x", 0, 100 / 224, signed=True, sides=True),
    Op("translate_y", 0, 100 / 224, signed=True, sides=True),
    Op("cutout", 0, 40 / 224, sides=True),
)
# DeiT's all do nothing, or as little as they can, at level 0.
DEIT_OPS = (
    *_PLAIN,
    Op("posterize", 4, -4, whole=True),
    Op("solarize", 256, -256, whole=True),
    Op("solarize_add", 0, 110, whole=True),
    *(Op(name, 1, 0.9, signed=True) for name in BLENDS),
    Op("translate_x", 0, 0.45, signed=True, sides=True),
    Op("translate_y", 0, 0.45, signed=True, sides=True),
)

# Name, start, for each of 31 levels its displacement from there, and whether a sign is drawn; from
# arXiv 2103.10158.
_TRIVIAL_LEVELS = [level / 30 for level in range(31)]
TRIVIAL_OPS = (
    ("identity", 0, [0] * 31, False),
    ("auto_contrast", 0, [0] * 31, False),
    ("equalize", 0, [0] * 31, False),
    *((name, 1, [0.99 * level for level in _TRIVIAL_LEVELS], True) for name in BLENDS),
    ("posterize", 8, [-round(6 * level) for level in _TRIVIAL_LEVELS], False),
    ("solarize", 255, [-255 * level for level in _TRIVIAL_LEVELS], False),
    ("rotate", 0, [135 * level for level in _TRIVIAL_LEVELS], True),
    ("shear_x", 0, [0.99 * level for level in _TRIVIAL_LEVELS], True),
    ("shear_y", 0, [0.99 * level for level in _TRIVIAL_LEVELS], True),
    ("translate_x", 0, [32 * level for level in _TRIVIAL_LEVELS], True),
    ("translate_y", 0, [32 * level for level in _TRIVIAL_LEVELS], True),
)

# Name, probability and level of 0 to 9, twice: arXiv 1805.09501, table 7.
AUTO_POLICIES = (
    ("invert", 0.1, 0, "contrast", 0.2, 6),
    ("rotate", 0.7, 2, "translate_x", 0.3, 9),
    ("sharpness", 0.8, 1, "sharpness", 0.9, 3),
    ("shear_y", 0.5, 8, "translate_y", 0.7, 9),
    ("auto_contrast", 0.5, 0, "equalize", 0.9, 0),
    ("shear_y", 0.2, 7, "posterize", 0.3, 7),
    ("color", 0.4, 3, "brightness", 0.6, 7),
    ("sharpness", 0.3, 9, "brightness", 0.7, 9),
    ("equalize", 0.6, 0, "equalize", 0.5, 0),
    ("contrast", 0.6, 7, "sharpness", 0.6, 5),
    ("color", 0.7, 7, "translate_x", 0.5, 8),
    ("equalize", 0.3, 0, "auto_contrast", 0.4, 0),
    ("translate_y", 0.4, 3, "sharpness", 0.2, 6),
    ("brightness", 0.9, 6, "color", 0.2, 8),
    ("solarize", 0.5, 2, "invert", 0.0, 0),
    ("equalize", 0.2, 0, "auto_contrast", 0.6, 0),
    ("equalize", 0.2, 0, "equalize", 0.6, 0),
    ("color", 0.9, 9, "equalize", 0.6, 0),
    ("auto_contrast", 0.8, 0, "solarize", 0.2, 8),
    ("brightness", 0.1, 3, "color", 0.7, 0),
    ("solarize", 0.4, 5, "auto_contrast", 0.9, 0),
    ("translate_y", 0.9, 9, "translate_y", 0.7, 9),
    ("auto_contrast", 0.9, 0, "solarize", 0.8, 3),
    ("equalize", 0.8, 0, "invert", 0.1, 0),
    ("translate_y", 0.7, 9, "auto_contrast", 0.9, 0),
)
