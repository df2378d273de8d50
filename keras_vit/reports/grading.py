# SPDX-License-Identifier: MIT
"""Which map to draw of what speaks for an answer: the one that passes the exam best."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.analysis import examine
from keras_vit.analysis.exam import Grade
from keras_vit.models import config_of
from keras_vit.progress import step

EXAM_IMAGES = 100  # more tell no more
LEAST = 8  # fewer tell nothing: two standard errors of two images are a matter of luck
WAITED_FOR = 1e12  # operations of an exam that somebody waits for: half a minute of a slow core
UNEXAMINED = "relevance"  # what is drawn where no exam was possible
_STEPS, _DRAWS = 8, 4
_CALL = 5e8  # operations in the time that it takes to call a small model, layer by layer


def graded(
    model: Any,
    images: np.ndarray,
    classes: np.ndarray,
    methods: Sequence[str],
    operations: float,
) -> tuple[dict[str, Grade], int]:
    """Examines maps on as many images as a number of operations allows.

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255.
        classes: a class for each image.
        methods: of `keras_vit.analysis.explanations.METHODS`.
        operations: floating-point operations that the exam may take.

    Returns:
        Grades by method, and of the image's "center", the best score first, and on how many images;
        empty and 0 where fewer than `LEAST` images are there, or affordable.
    """
    examined = (*methods, "center")
    passes = 2 * (_STEPS + 1) * (len(examined) + _DRAWS)
    affordable = int((operations / passes - _CALL) / config_of(model).forward_flops())
    count = min(EXAM_IMAGES, affordable, len(images))
    if count < LEAST:
        return {}, 0
    with step("examining maps"):
        grades = examine(model, images[:count], classes[:count], examined, _STEPS, _DRAWS)
    return grades, count


def verdict(grade: Grade, grades: Mapping[str, Grade], count: int) -> str:
    """How a method did, in words.

    Args:
        grade: of the method.
        grades: see `graded`.
        count: on how many images.
    """
    found = (
        f"of the class's probability {grade.deletion:.0%} are left while its "
        f"patches are taken away, and {grade.insertion:.0%} are there while they are put back "
        f"({count} images)"
    )
    # As many decimals as the error has to say: a model that hardly learned has tiny differences.
    places = min(4, max(2, -math.floor(math.log10(max(grade.error, 1e-9)))))
    by = f"{grade.advantage:.{places}f} +- {grade.error:.{places}f}"
    if not grade.beats_chance:
        return f"{found}; no better than chance ({by}): do not believe this map"
    better = f"{found}; better than chance by {by}"
    center = grades["center"]
    by = f"{center.advantage:.{places}f}"
    if center.score >= grade.score:
        return f"{better}, but no better than the middle of the image ({by})"
    return f"{better}, where the middle of the image is by {by}"
