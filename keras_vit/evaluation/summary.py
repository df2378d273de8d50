# SPDX-License-Identifier: MIT
"""Everything that a table of logits says about a classifier, as plain data."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from keras_vit.evaluation.calibration import reliability
from keras_vit.evaluation.classification import (
    class_scores,
    confusion_matrix,
    most_confused,
    predicted_classes,
)
from keras_vit.evaluation.metrics import softmax, top_k_accuracy, wilson_interval
from keras_vit.evaluation.multilabel import mean_average_precision


def headline(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The figures that a model is known by.

    Args:
        logits: float `(n, classes)`.
        labels: int `(n,)`, or 0 and 1 of shape `(n, classes)` with several classes to an image.

    Returns:
        `top1` and `top5`, or `map`; 0 to 1.
    """
    if labels.ndim == 2:
        return {"map": mean_average_precision(logits, labels)}
    return {f"top{k}": top_k_accuracy(logits, labels, k) for k in (1, 5)}


def summarize(logits: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict:
    """Measures a classifier.

    Args:
        logits: float `(n, classes)`, finite, with n of 1 or more.
        labels: int `(n,)`.
        classes: their names.

    Returns:
        Plain data, ready for JSON. Shares are 0 to 1: `images`; `top1`, `top1_interval` (95 %) and
        `top5`, among all classes; `macro_f1`, of the classes that occur; `absent`, names of the
        others; `ece`; `per_class`, a list of `class`, `precision`, `recall`, `f1` and
        `support`; `most_confused`, a list of `actual`, `predicted`, `count` and `share`;
        `confusion_matrix`, rows of true classes; and `reliability`, a list of bins with `low`,
        `high`, `count`, `confidence` and `accuracy`.
    """
    predicted = predicted_classes(logits, labels)
    matrix = confusion_matrix(predicted, labels, len(classes))
    scores = class_scores(matrix)
    bins = reliability(softmax(logits.astype("float64")).max(axis=1), predicted == labels)
    top1 = top_k_accuracy(logits, labels)
    return {
        "images": len(labels),
        "top1": top1,
        "top1_interval": list(wilson_interval(top1, len(labels))),
        "top5": top_k_accuracy(logits, labels, 5),
        "macro_f1": scores.macro_f1,
        "absent": [name for name, count in zip(classes, scores.support, strict=True) if not count],
        "ece": bins.error,
        "per_class": _rows(
            {
                "class": classes,
                "precision": scores.precision,
                "recall": scores.recall,
                "f1": scores.f1,
                "support": scores.support,
            }
        ),
        "most_confused": [
            dataclasses.asdict(confusion) for confusion in most_confused(matrix, classes)
        ],
        "confusion_matrix": matrix.tolist(),
        "reliability": _rows(
            {
                "low": bins.edges[:-1],
                "high": bins.edges[1:],
                "count": bins.count,
                "confidence": bins.confidence,
                "accuracy": bins.accuracy,
            }
        ),
    }


def _rows(columns: Mapping[str, Sequence | np.ndarray]) -> list[dict]:
    plain = [np.asarray(column).tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)]
