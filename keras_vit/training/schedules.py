# SPDX-License-Identifier: MIT
"""Learning rate over steps."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from keras_vit.recipes import Schedule
from keras_vit.recipes.optimization import steps_of


def make_schedule(
    wanted: Schedule, peak: float, steps_per_epoch: float, epochs: int
) -> "WarmupAndDecay":
    """The learning rate of a run.

    Args:
        wanted: lengths and shape.
        peak: highest learning rate.
        steps_per_epoch: updates of the weights in an epoch; not whole where gradients are
            accumulated across its end.
        epochs: length of the run; warm-up and cool-down are cut where they would take all of it.
    """
    total = max(1, int(steps_per_epoch * epochs))
    warmup = min(steps_of(wanted.warmup, steps_per_epoch, total), total - 1)
    cooldown = min(steps_of(wanted.cooldown, steps_per_epoch, total), total - 1 - warmup)
    return WarmupAndDecay(
        peak, total, warmup, cooldown, wanted.kind, wanted.start, wanted.final, wanted.overlap
    )


def make_restarting_schedule(
    wanted: Schedule, peak: float, steps_per_epoch: float, cycles: Sequence[int]
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of a run that may have been extended: it begins again with each cycle."""
    schedule, epochs = make_schedule(wanted, peak, steps_per_epoch, cycles[0]), cycles[0]
    for more in cycles[1:]:
        again = make_schedule(wanted, peak, steps_per_epoch, more)
        schedule = Restart(schedule, again, int(steps_per_epoch * epochs))
        epochs += more
    return schedule


@keras.saving.register_keras_serializable("keras_vit")
class Restart(keras.optimizers.schedules.LearningRateSchedule):
    """One schedule up to a step, and from there another, which counts from 0.

    Args:
        before, after: the schedules.
        step: the first step of the second.
    """

    def __init__(self, before, after, step: int):
        super().__init__()
        self.before, self.after = (
            keras.saving.deserialize_keras_object(one) if isinstance(one, dict) else one
            for one in (before, after)
        )
        self.step = step

    def __call__(self, step):
        step = ops.cast(step, "float32")
        again = self.after(ops.maximum(step - self.step, 0.0))
        return ops.where(step < self.step, self.before(step), again)

    def get_config(self):
        return {
            "before": keras.saving.serialize_keras_object(self.before),
            "after": keras.saving.serialize_keras_object(self.after),
            "step": self.step,
        }


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
        if self.kind == "rsqrt":  # 1 where the warm-up ends (arXiv 2106.04560)
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
