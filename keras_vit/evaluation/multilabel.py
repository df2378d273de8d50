# SPDX-License-Identifier: MIT
"""Images that may show several classes, or none."""

from collections.abc import Sequence

import numpy as np


def average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Average precision of one class: the mean, over its examples, of the precision at their rank.

    Args:
        scores: float `(n,)`, any increasing measure of belief.
        targets: bool `(n,)`, whether the example is of the class.

    Returns:
        0 to 1; NaN when no example is of the class. Examples of equal score share the rank of the
        last of them, so that their order in the data does not matter.
    """
    targets = np.asarray(targets, dtype=bool)
    if not targets.any():
        return float("nan")
    ranked = np.sort(scores)
    positives = np.sort(scores[targets])
    above = len(ranked) - np.searchsorted(ranked, positives, side="left")
    right = len(positives) - np.searchsorted(positives, positives, side="left")
    return float(np.mean(right / above))


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean of `average_precision` over the classes that occur.

    Args:
        scores: float `(n, classes)`.
        targets: bool `(n, classes)`.

    Returns:
        0 to 1; NaN when no class occurs.
    """
    occurring = np.flatnonzero(np.asarray(targets).any(axis=0))
    if not len(occurring):
        return float("nan")
    return float(np.mean([average_precision(scores[:, c], targets[:, c]) for c in occurring]))


def summarize_multilabel(logits: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> dict:
    """Measures a classifier whose images show any number of classes.

    Args:
        logits: float `(n, classes)`, finite, with n of 1 or more.
        targets: 0 or 1, `(n, classes)`.
        classes: their names.

    Returns:
        Plain data, ready for JSON. Shares are 0 to 1, and an answer is every class with a logit
        above 0, a probability above 1/2: `images`; `map`, of the classes that occur (NaN where none
        does); `absent`, names of the others; `exact`, the share of images whose answer
        is right in every class; `micro_f1`, of all answers of all classes together; and
        `per_class`, a list of `class`, `ap` (None for a class that does not occur), `precision`,
        `recall`, `f1` and `support`.
    """
    said, targets = logits > 0, np.asarray(targets, dtype=bool)
    right, given, support = ((said & targets).sum(0), said.sum(0), targets.sum(0))
    rows = [
        {
            "class": name,
            "ap": average_precision(logits[:, c], targets[:, c]) if support[c] else None,
            "precision": float(right[c] / max(given[c], 1)),
            "recall": float(right[c] / max(support[c], 1)),
            "f1": float(2 * right[c] / max(given[c] + support[c], 1)),
            "support": int(support[c]),
        }
        for c, name in enumerate(classes)
    ]
    return {
        "images": len(targets),
        "map": mean_average_precision(logits, targets),
        "absent": [name for name, count in zip(classes, support, strict=True) if not count],
        "exact": float((said == targets).all(axis=1).mean()),
        "micro_f1": float(2 * right.sum() / max(given.sum() + support.sum(), 1)),
        "per_class": rows,
    }
