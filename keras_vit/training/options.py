# SPDX-License-Identifier: MIT
"""How one process carries out its part of a run."""

import dataclasses
import math
from collections.abc import Callable, Collection

from keras_vit.errors import UserError
from keras_vit.hardware import installed

LEAST_SECONDS = 10.0  # between two checkpoints
SHARE = 0.01  # of the time that checkpoints may take


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What may differ between a run and its continuation; nothing here changes the result.

    Attributes:
        checkpoint_minutes: time between two checkpoints. None (with `checkpoint_steps` None too)
            is as often as their writing takes less than 1 % of the time, and 10 seconds at the
            least.
        checkpoint_steps: train steps between two checkpoints, instead of a time.
        keep_checkpoints: how many of the newest stay.
        max_time: seconds, from the call on, after which the run writes a checkpoint and stops with
            `TimeIsUp`; None for no limit.
        tensorboard: whether scalars go to `RUN/tensorboard` too.
        draw_samples: called as `draw_samples(path, images, labels, classes)` with the first batch
            of a new run and the path `RUN/samples.jpg`; see `keras_vit.reports.draw_samples`.
        intended: fields of the recipe that were set on purpose, as "model.channels": a new run asks
            no question about them.
        devices: how many devices a recipe with a `distribution` uses; None for all. On a machine
            of CPUs alone they are made of its cores, for trials.
    """

    checkpoint_minutes: float | None = None
    checkpoint_steps: int | None = None
    keep_checkpoints: int = 2
    max_time: float | None = None
    tensorboard: bool = False
    draw_samples: Callable | None = None
    intended: Collection[str] = ()
    devices: int | None = None

    def __post_init__(self) -> None:
        if self.checkpoint_minutes is not None and self.checkpoint_steps is not None:
            raise UserError("checkpoint_minutes and checkpoint_steps: expected one of them.")
        for name in (
            *("checkpoint_minutes", "checkpoint_steps", "keep_checkpoints", "max_time"),
            "devices",
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name}: expected a finite number above 0, received {value}.")
        if self.tensorboard and installed("tensorboard") is None:
            raise UserError("--tensorboard: is not installed. Run: pip install tensorboard")

    def is_due(self, step: int, seconds: float, cost: float) -> bool:
        """Whether a checkpoint is due.

        Args:
            step: train steps of the run so far.
            seconds: since the last checkpoint, or since training began.
            cost: seconds that the last checkpoint took to write.
        """
        if self.checkpoint_steps is not None:
            return step % self.checkpoint_steps == 0
        if self.checkpoint_minutes is not None:
            return seconds >= 60 * self.checkpoint_minutes
        return seconds >= max(LEAST_SECONDS, cost / SHARE)
