# SPDX-License-Identifier: MIT
"""What a model makes of labelled images."""

import dataclasses
from typing import Any

from keras_vit.evaluation import summarize, summarize_multilabel
from keras_vit.reports.page.matrix import Matrix, matrix_of
from keras_vit.reports.page.mistakes import Mistake, Pair, mistakes_of, pairs_of
from keras_vit.reports.page.tested import Tested


@dataclasses.dataclass(frozen=True)
class Answers:
    """A model on its test images.

    Attributes:
        summary: see `keras_vit.evaluation.summarize` and `summarize_multilabel`.
        matrix: what is taken for what; None where an image may show several classes.
        pairs: the most confused, most frequent first.
        mistakes: the worst first.
        mistaken: how many there are.
        explained: by which method maps were made, and how it did in the exam, in words.
    """

    summary: dict[str, Any]
    matrix: Matrix | None
    pairs: tuple[Pair, ...]
    mistakes: tuple[Mistake, ...]
    mistaken: int
    explained: str


def answers_of(tested: Tested, operations: float) -> Answers:
    """What there is to say of a model's answers.

    Args:
        tested: the model and the images.
        operations: floating-point operations that choosing the maps may take.
    """
    measure = summarize_multilabel if tested.several else summarize
    summary = measure(tested.logits, tested.split.labels, tested.labels)
    matrix = None if tested.several else matrix_of(summary)
    pairs = () if tested.several else pairs_of(tested, summary)
    mistakes, mistaken, explained = mistakes_of(tested, operations)
    return Answers(summary, matrix, pairs, mistakes, mistaken, explained)
