# SPDX-License-Identifier: MIT
"""Learning rate over steps."""

import math

import keras
from keras import ops

from keras_vit.recipes import Schedule
from keras_vit.recipes.optimization import steps_of


def make_schedule(
    plan: Schedule, peak: float, steps_per_epoch: float, epochs: int
) -> "WarmupAndDecay":
    """The learning rate of a run.

    Args:
        plan: lengths and shape.
        peak: highest learning rate.
        steps_per_epoch: updates of the weights in an epoch; not whole where gradients are
            accumulated across its end.
        epochs: length of the run; warm-up and cool-down are cut where they would take all of it.
    """
    total = max(1, int(steps_per_epoch * epochs))
    warmup = min(steps_of(plan.warmup, steps_per_epoch, total), total - 1)
    cooldown = min(steps_of(plan.cooldown, steps_per_epoch, total), total - 1 - warmup)
    return WarmupAndDecay(
        peak, total, warmup, cooldown, plan.kind, plan.start, plan.final, plan.overlap
    )


@keras.saving.register_keras_serializable("keras_vit")
class WarmupAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up, way down and cool-down of `keras_vit.recipes.Schedule`.

    Args:
        peak: highest learning rate.
        total: steps of the run.
        warmup: steps of the warm-up, fewer than `total`.
        cooldown: steps of the cool-down.
        kind, start, final, overlap: see `Schedule`.
    """

    def __init__(
        self,
        peak: float,
        total: int,
        warmup: int = 0,
        cooldown: int = 0,
        kind: str = "cosine",
        start: float = 0.0,
        final: float = 0.0,
        overlap: bool = False,
    ):
        super().__init__()
        self.peak = peak
        self.total = total
        self.warmup = warmup
        self.cooldown = cooldown
        self.kind = kind
        self.start = start
        self.final = final
        self.overlap = overlap

    def __call__(self, step):
        step = ops.cast(step, "float32")
        way_down_ends = self.total - self.cooldown
        share = self._way_down(ops.clip(step, self.warmup, way_down_ends))
        if self.cooldown:
            cooled = ops.clip((step - way_down_ends) / self.cooldown, 0.0, 1.0)
            share = share + cooled * (self.final - share)
        if self.warmup:
            warm = self.start + (1 - self.start) * step / self.warmup
            share = ops.where(step < self.warmup, warm, share)
        return self.peak * share

    def _way_down(self, step):
        """Share of the peak at a step between the end of the warm-up and the cool-down."""
        if self.kind == "constant":
            return ops.ones_like(step)
        if self.kind == "rsqrt":
            return ops.sqrt(max(1, self.warmup) / ops.maximum(step, 1.0))
        begins = 0 if self.overlap else self.warmup
        progress = (step - begins) / (self.total - self.cooldown - begins)
        if self.kind == "cosine":
            progress = 0.5 - 0.5 * ops.cos(math.pi * progress)
        return 1 - (1 - self.final) * progress

    def get_config(self):
        return {
            "peak": self.peak,
            "total": self.total,
            "warmup": self.warmup,
            "cooldown": self.cooldown,
            "kind": self.kind,
            "start": self.start,
            "final": self.final,
            "overlap": self.overlap,
        }
