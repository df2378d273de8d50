# SPDX-License-Identifier: MIT
"""How a run can end before its last epoch."""

import contextlib
import os
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


class ProcessLost(RuntimeError):
    """Another process of a run on several died, or its machine cannot be reached any more."""


def resume_command(workdir: Path) -> str:
    """What to type to continue a run."""
    return f"keras-vit train --resume {workdir}"


class StopSignals:
    """SIGINT and SIGTERM ask for an end after the step; a second one ends the process at once.

    Attributes:
        received: the number of the one that came, or None.
    """

    def __init__(self):
        self.received: int | None = None
        self._previous = {}

    def watch(self) -> None:
        """Takes note of the signals from here on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # signals belong to the main thread
                self._previous[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Puts the handlers back that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number, frame) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        # Not print: a handler may run in the middle of another one.
        os.write(2, b"\nstopping after this step; a second signal ends at once\n")
