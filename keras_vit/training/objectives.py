# SPDX-License-Identifier: MIT
"""Loss and metrics of a recipe."""

import keras

from keras_vit.errors import UserError
from keras_vit.recipes import Classify


def make_loss(objective: Classify) -> keras.losses.Loss:
    """The loss of logits and labels, both `(batch, classes)`; one-hot or several per image."""
    if objective.loss == "sigmoid":
        return SigmoidCrossEntropy(objective.label_smoothing)
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=objective.label_smoothing
    )


class SigmoidCrossEntropy(keras.losses.Loss):
    """Binary cross-entropy of each class, summed over the classes (arXiv 2006.07159, §3).

    Keras's own BinaryCrossentropy takes the mean over the classes, which divides the gradient by
    their number.

    Args:
        label_smoothing: share `s` of the targets that becomes 1/2: `t (1 - s) + s / 2`, 0 to 1.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "sigmoid_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        targets = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = keras.ops.binary_crossentropy(targets, y_pred, from_logits=True)
        return keras.ops.sum(losses, axis=-1)


def make_metrics(task: str = "single", num_classes: int = 2) -> list[keras.metrics.Metric]:
    """What the best epoch is chosen by.

    Args:
        task: "single" for top-1 accuracy, called `accuracy` in logs; "multi" for the mean over the
            classes of the area under the precision-recall curve, called `average_precision`. It has
            200 thresholds, where the report ranks every image.
        num_classes: length of a label.
    """
    if task == "multi":
        area = keras.metrics.AUC(
            curve="PR",
            multi_label=True,
            num_labels=num_classes,
            from_logits=True,
            name="average_precision",
        )
        return [area]
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]


def check_task(objective: Classify, task: str) -> None:
    """Raises a `UserError` when images show several classes and the loss is for one."""
    if task == "multi" and objective.loss != "sigmoid":
        raise UserError(
            "images in this data set have several labels or none, and a softmax chooses one: "
            f"objective.loss is {objective.loss!r}. Type --set objective.loss=sigmoid."
        )
