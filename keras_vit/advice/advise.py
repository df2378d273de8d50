# SPDX-License-Identifier: MIT
"""Asks every rule, and keeps what matters most."""

from collections.abc import Callable

from keras_vit.advice.exports import slow_export
from keras_vit.advice.facts import Advice, RunFacts
from keras_vit.advice.images import (
    few_images,
    imbalance,
    misleading_images,
    small_validation,
    weak_class,
)
from keras_vit.advice.training import bad_updates, overfitting, still_falling, underfitting

MOST = 4  # who is told more does none of it

RULES: tuple[Callable[[RunFacts], Advice | None], ...] = (
    *(misleading_images, few_images, bad_updates, overfitting, underfitting, still_falling),
    *(imbalance, small_validation, weak_class, slow_export),
)


def advise(facts: RunFacts) -> list[Advice]:
    """What to do next, the most important first; nothing where no number asks for it."""
    found = [advice for rule in RULES if (advice := rule(facts)) is not None]
    return sorted(found, key=lambda advice: advice.priority)[:MOST]
