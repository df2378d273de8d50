# SPDX-License-Identifier: MIT
"""How a run can end before its last epoch."""

import signal
from pathlib import Path


class Stopped(Exception):
    """The run was asked to stop; a checkpoint holds all of it.

    Attributes:
        code: what a command exits with.
    """

    code = 0

    def __init__(self, why: str, step: int, workdir: Path):
        super().__init__(
            f"{why} after step {step:,}; nothing is lost. Continue with: {resume_command(workdir)}"
        )


class TimeIsUp(Stopped):
    """The time that the run was given is over."""


class Interrupted(Stopped):
    """A signal stopped the run; `code` is 128 plus its number."""

    def __init__(self, number: int, step: int, workdir: Path):
        super().__init__(f"stopped by {signal.Signals(number).name}", step, workdir)
        self.code = 128 + number


class NonFiniteLoss(RuntimeError):
    """The loss or a weight became NaN or infinite."""


class WriteFailed(RuntimeError):
    """The disk did not take what a run wrote."""


def resume_command(workdir: Path) -> str:
    """What to type to continue a run."""
    return f"keras-vit train --resume {workdir}"
