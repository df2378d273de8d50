# SPDX-License-Identifier: MIT
"""To say which class an image shows: loss, metrics, and the test of the exported files."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_vit.errors import UserError
from keras_vit.recipes import Classify
from keras_vit.training.objectives.base import Objective, float32_copy, save_whole
from keras_vit.training.objectives.labelled import check_task, deliver, make_metrics


class Classification(Objective):
    """Images in, classes out: `vit` itself is trained."""

    def check(self, recipe, images):
        check_task(recipe.objective, images.task)

    def compile_arguments(self, recipe, images):
        labels, classes = images.train.labels, len(images.classes)
        counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
        metrics = make_metrics(images.task, classes)
        return {"loss": make_loss(recipe.objective, counts), "weighted_metrics": metrics}

    def save(self, learner, path):
        save_whole(float32_copy(learner), path)

    def finish(self, model, recipe, images, run):
        return deliver(model, recipe, images, run)

    def forward_flops(self, recipe):
        return recipe.model.forward_flops()

    def loss_of_chance(self, recipe, images):
        classes = len(images.classes)
        if recipe.objective.loss == "softmax":
            return math.log(classes)
        return classes * math.log(2)


def make_loss(objective: Classify, counts: Sequence[int] = ()) -> keras.losses.Loss:
    """The loss of logits and labels, both `(batch, classes)`; one-hot or several per image.

    Args:
        objective: of the recipe.
        counts: training examples of each class, for `class_weights`.
    """
    weights = class_weights(objective, counts)
    if objective.loss == "softmax" and weights is None:
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=objective.label_smoothing
        )
    return WeightedCrossEntropy(
        objective.loss, objective.label_smoothing, objective.target_threshold, weights
    )


def class_weights(objective: Classify, counts: Sequence[int]) -> tuple[float, ...] | None:
    """The weight of each class, or None where all are equal.

    Raises:
        UserError: for another number of weights than there are classes.
    """
    weights = objective.class_weights
    if weights == "balanced":
        present = [max(1, count) for count in counts]
        return tuple(sum(counts) / (len(present) * count) for count in present)
    if weights is None or isinstance(weights, str):
        return None
    if len(weights) != len(counts):
        raise UserError(
            f"objective.class_weights: expected {len(counts)} numbers, one for each class, "
            f"received {len(weights)}."
        )
    return weights


@keras.saving.register_keras_serializable("keras_vit")
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with a weight for each class: `sum over k of w_k loss_k`.

    Keras's own BinaryCrossentropy takes the mean over the classes where "sigmoid" wants the sum,
    and its weights belong to whole images, which a mixed image has several of.

    Args:
        kind: "softmax", "sigmoid" (the sum over the classes, arXiv 2006.07159, section 3) or "bce"
            (their mean).
        label_smoothing: "softmax": targets become `t (1 - s) + s / classes`; else `t (1 - s) +
            s / 2`.
        target_threshold: targets above become 1, others 0, or None.
        weights: one for each class, or None.
    """

    def __init__(
        self,
        kind: str,
        label_smoothing: float = 0.0,
        target_threshold: float | None = None,
        weights: Sequence[float] | None = None,
        name: str = "weighted_cross_entropy",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.kind = kind
        self.label_smoothing = label_smoothing
        self.target_threshold = target_threshold
        self.weights = weights

    def call(self, y_true, y_pred):
        targets = ops.cast(y_true, y_pred.dtype)
        if self.target_threshold is not None:
            targets = ops.cast(targets > self.target_threshold, y_pred.dtype)
        spread = 1 / y_pred.shape[-1] if self.kind == "softmax" else 1 / 2
        targets = targets * (1 - self.label_smoothing) + self.label_smoothing * spread
        if self.kind == "softmax":
            losses = -targets * ops.log_softmax(y_pred, axis=-1)
        else:
            losses = ops.binary_crossentropy(targets, y_pred, from_logits=True)
        if self.weights is not None:
            losses = losses * ops.convert_to_tensor(self.weights, losses.dtype)
        return (ops.mean if self.kind == "bce" else ops.sum)(losses, axis=-1)  # (B,)

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "label_smoothing": self.label_smoothing,
            "target_threshold": self.target_threshold,
            "weights": self.weights,
        }
