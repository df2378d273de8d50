# SPDX-License-Identifier: MIT
"""What a rule looks at, and what it answers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.recipes import Recipe

_LAST_PART = 5  # the last fifth of the epochs is "the end" of a training
_FALLING = 0.02  # share that a loss falls by at the end of a training which is not over


@dataclasses.dataclass(frozen=True)
class Advice:
    """One thing to do next.

    Attributes:
        rule: the name of the rule that gives it.
        evidence: the symptom, with the run's own numbers, in a sentence.
        remedy: what to do about it, in a sentence.
        command: what to type; Python for a run on images that were given in memory.
        priority: 1 for the first; of equal ones the order of the rules decides.
    """

    rule: str
    evidence: str
    remedy: str
    command: str
    priority: int


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What a finished run knows.

    Attributes:
        folder: of the run, as it is typed.
        recipe: complete: with a model and what a rule has filled in.
        classes: their names; empty for images without labels.
        train_counts: training images of each class, in their order.
        validation: validation images.
        held_out: whether these were taken from the training images by `data.split_seed`.
        history: one row for each epoch, as `history.csv` has it.
        best_epoch: the epoch whose weights were kept, from 1.
        top1: of the test images, 0 to 1; None with several classes to an image, or none.
        shown: test images of each class; empty where `top1` is None.
        right: those of them that were named rightly.
        exports: the files, as `report.json` has them.
        misleading: what was found in the image files that makes results look better or worse than
            they are, as training images among those of the test: a sentence for each.
        in_memory: whether the images were handed over by a program; no command names these.
        cores: of the CPU that may be used.
        gpu: whether there is one.
    """

    folder: str
    recipe: Recipe
    classes: tuple[str, ...]
    train_counts: tuple[int, ...]
    validation: int
    held_out: bool
    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    top1: float | None = None
    shown: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    exports: tuple[Mapping[str, Any], ...] = ()
    misleading: tuple[str, ...] = ()
    in_memory: bool = False
    cores: int = 1
    gpu: bool = False

    def column(self, name: str) -> list[float]:
        """A column of the history; empty where it was not measured."""
        return [row[name] for row in self.history if name in row]

    @property
    def perfect(self) -> bool:
        """Whether the test found no mistake."""
        return self.top1 == 1.0

    @property
    def fall_at_end(self) -> float:
        """By which share the lowest validation loss fell in the last fifth of the epochs."""
        losses = self.column("val_loss")
        last = max(1, round(len(losses) / _LAST_PART))
        if len(losses) <= last or min(losses[:-last]) <= 0:
            return 0.0
        before = min(losses[:-last])
        return max(0.0, 1 - min(losses[-last:]) / before)

    @property
    def still_falls(self) -> bool:
        """Whether the training ended before it was over."""
        return self.fall_at_end >= _FALLING

    @property
    def validation_top1(self) -> float | None:
        """Of the epoch that was kept, 0 to 1; None where it was not measured."""
        rows = {row["epoch"]: row for row in self.history}
        return rows.get(self.best_epoch, {}).get("val_accuracy")
