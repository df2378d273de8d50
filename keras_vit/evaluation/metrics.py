# SPDX-License-Identifier: MIT
"""Metrics in NumPy, so that every runtime's output is measured by the same code."""

import numpy as np


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Share of examples whose label is among the k largest logits.

    Args:
        logits: float `(n, classes)`.
        labels: int `(n,)`.
        k: 1 or more; with at least as many as there are classes, the result is 1.

    Returns:
        0 to 1. The label counts as ranked after every other class with an equal logit, so that a
        model that says the same of every class gets nothing for it.
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    rank = (logits >= own).sum(axis=1)  # 1 for the largest; NaN compares false, hence the next line
    return float(np.mean((rank <= k) & (rank > 0)))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probability of each class by itself, from logits of any shape."""
    return np.exp(-np.logaddexp(0, -logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities `(n, classes)` from logits `(n, classes)`."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def wilson_interval(accuracy: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval that holds the true accuracy with a given confidence (Wilson 1927).

    Unlike accuracy +- z * its standard error, it stays within 0 to 1 and has a width at 0 and 1.

    Args:
        accuracy: share of right answers, 0 to 1.
        n: examples that it was measured on, 1 or more.
        z: quantile of the normal distribution; the default makes it a 95 % interval.

    Returns:
        Lower and upper end, 0 to 1.
    """
    scale = 1 + z**2 / n
    centre = (accuracy + z**2 / (2 * n)) / scale
    half = z / scale * np.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
