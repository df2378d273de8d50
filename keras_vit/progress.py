# SPDX-License-Identifier: MIT
"""Says how far a long step is: a bar on a terminal, a line every ten seconds elsewhere.

Both have the time left, and both are on standard error. A step that ends within a second says
nothing, and imports nothing for it. The bar is drawn by rich, which comes with Keras, takes 28 ms
to import (as tqdm does) and draws the bar that `model.fit` draws.

KERAS_VIT_PROGRESS=off silences all of it.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TypeVar

from keras_vit.untrusted.text import visible

_BAR_AFTER = 1.0  # seconds of a step that a terminal shows nothing of
_LINE_AFTER = 2.0  # the same elsewhere; many short steps in a row give a line now and then
_LINE_EVERY = 10.0
_FRAME = 0.2  # seconds between two looks
_WIDEST = 48  # characters of a description, which may hold the name of a file
_NARROWEST, _LONGEST = 6, 32  # characters of a bar

Item = TypeVar("Item")


class Step:
    """Something that takes a while.

    Attributes:
        doing: what is done, in a few words.
        total: how much there is of it, or None where that is not known.
        unit: what is counted.
        done: how much of it is done.
    """

    def __init__(self, doing: str, total: float | None, unit: str):
        self.doing = _shortened(visible(doing))
        self.total = total
        self.unit = unit
        self.done = 0.0
        self.began = self._timed_from = time.monotonic()
        self._untimed = 0.0  # what was done before
        self._heavier = 0.0
        self._held: float | None = None  # since when

    def advance(self, count: float = 1) -> None:
        """Counts what was done."""
        self.done += count

    def time_from_here(self, heavier: float = 0.0) -> None:
        """Leaves what went before out of the speed: a first step that compiles what others run.

        Args:
            heavier: how much longer the rest takes than at the speed from here on, in units.
        """
        self._timed_from, self._untimed, self._heavier = time.monotonic(), self.done, heavier

    def hold(self) -> None:
        """Leaves what comes now out of the speed, until `go_on`."""
        self._held = time.monotonic()

    def go_on(self) -> None:
        """Ends what `hold` began, if it did."""
        if self._held is not None:
            self._timed_from += time.monotonic() - self._held
            self._held = None

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.began

    def counted(self) -> str:
        """How much is done, as in "1,200 of 60,000 images"; empty where nothing is counted."""
        if self.total is None:
            return f"{self.done:,.0f} {self.unit}" if self.done else ""
        return f"{self.done:,.0f} of {self.total:,.0f} {self.unit}"

    @property
    def seconds_left(self) -> float | None:
        """The time left, if the rest goes as fast; None where that cannot be known."""
        timed = self.done - self._untimed
        if not self.total or not timed:
            return None
        until = time.monotonic() if self._held is None else self._held
        rest = max(0.0, self.total - self.done + self._heavier)
        return (until - self._timed_from) / timed * rest

    def left(self) -> str:
        """The time left in words; the time so far where that cannot be known."""
        left = self.seconds_left
        return f"{clock(self.seconds)} so far" if left is None else f"{clock(left)} left"


@contextlib.contextmanager
def step(
    doing: str, total: float | None = None, unit: str = "", stream: IO[str] | None = None
) -> Iterator[Step]:
    """Shows a step for as long as the block takes.

    A step inside of another is shown instead of it, once it takes a second itself.

    Args:
        doing: what is done, in a few words.
        total: how much there is to do; None shows the time alone.
        unit: what is counted; for the size of files, use megabytes.
        stream: where to show it, and steps inside of it; None is standard error.

    Yields:
        The step, to be told of what is done with `advance`.
    """
    this = Step(doing, total, unit)
    if os.environ.get("KERAS_VIT_PROGRESS") == "off":
        yield this
        return
    _shown.begin(this, stream or sys.stderr)
    try:
        yield this
    finally:
        _shown.end(this)


def track(
    items: Iterable[Item],
    doing: str,
    total: float | None = None,
    unit: str = "images",
    size: Callable[[Item], float] = lambda item: 1,
) -> Iterator[Item]:
    """Gives the items of a loop, and shows how far it is.

    Args:
        items: what is looped over.
        doing, total, unit: see `step`.
        size: how much of `total` an item is.
    """
    with step(doing, total, unit) as shown:
        for item in items:
            yield item
            shown.advance(size(item))


def say(text: str) -> None:
    """Prints one line on standard error, above a bar that stands there; see `text.visible`."""
    with aside():
        print(visible(text), file=sys.stderr, flush=True)


def aside() -> contextlib.AbstractContextManager[None]:
    """Takes the bar away for as long as something else is printed."""
    return _shown.aside()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 0:41, 12:05, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _shortened(text: str) -> str:
    """The beginning and the end of a text that is too long for a line with a bar."""
    if len(text) <= _WIDEST:
        return text
    return f"{text[: _WIDEST // 2 - 2]}...{text[-(_WIDEST // 2 - 1) :]}"


class _Shown:
    """The steps that are going on, and the thread that shows the innermost of them.

    A thread, because a step may be one long call that gives no sign of life.
    """

    def __init__(self):
        self.lock = threading.RLock()  # of the steps and of the terminal
        self.steps: list[Step] = []
        self.stop: threading.Event | None = None
        self.thread: threading.Thread | None = None
        self.last_line = time.monotonic()
        self.bar: _Bar | None = None

    def begin(self, step: Step, stream: IO[str]) -> None:
        with self.lock:
            self.steps.append(step)
            if self.thread is None:
                self.stop = threading.Event()
                arguments = (stream, self.stop)
                self.thread = threading.Thread(target=self._run, args=arguments, daemon=True)
                self.thread.start()

    def end(self, step: Step) -> None:
        with self.lock:
            self.steps.remove(step)
            if self.steps or self.thread is None:
                return
            thread, self.thread = self.thread, None
            if self.stop is not None:
                self.stop.set()
        thread.join()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        with self.lock:
            if self.bar is not None:
                self.bar.clear()
            yield

    def _run(self, stream: IO[str], stop: threading.Event) -> None:
        show = self._show_bar if _is_terminal(stream) else self._show_line
        # A standard error that was closed is no reason to end what goes on.
        with contextlib.suppress(OSError, ValueError):
            try:
                while not stop.wait(_FRAME):
                    with self.lock:
                        show(stream)
            finally:
                with self.lock:
                    if self.bar is not None:
                        self.bar.clear()
                        self.bar = None

    def _show_bar(self, stream: IO[str]) -> None:
        step = self._innermost(_BAR_AFTER)
        if step is None:
            return
        if self.bar is None:
            self.bar = _Bar(stream)
        self.bar.draw(step)

    def _show_line(self, stream: IO[str]) -> None:
        now, step = time.monotonic(), self._innermost(_LINE_AFTER)
        if step is None or now - self.last_line < _LINE_EVERY:
            return
        self.last_line = now
        parts = [step.counted()]
        if step.total:
            parts.append(f"{step.done / step.total:.0%}")
        told = ", ".join(filter(None, [*parts, step.left()]))
        print(f"{step.doing}: {told}", file=stream, flush=True)

    def _innermost(self, least: float) -> Step | None:
        return next((step for step in reversed(self.steps) if step.seconds >= least), None)


class _Bar:
    """One line at the bottom of a terminal, drawn by rich.

    It is printed anew each time, without rich's live display. That one hides the cursor, which a
    process that is killed cannot bring back, and replaces standard error.
    """

    def __init__(self, stream: IO[str]):
        from rich.console import Console

        self.stream = stream
        self.console = Console(file=stream, force_terminal=True, highlight=False)
        self.drawn = False

    def draw(self, step: Step) -> None:
        with self.console.capture() as captured:
            self.console.print(self._line(step))
        self._write(captured.get().splitlines()[0])
        self.drawn = True

    def _line(self, step: Step):
        """Description, bar, count and time; in a narrow window, of the last two what fits."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        told = "  ".join(filter(None, (step.counted(), step.left())))
        room = self.console.width - len(told) - 3  # of the description and the bar
        if room < 2 * _NARROWEST:
            return Text(told, no_wrap=True, overflow="ellipsis")
        width = max(_NARROWEST, min(_LONGEST, room - len(step.doing)))
        if step.total is None:
            bar = ProgressBar(total=1.0, completed=0.0, width=width, pulse=True)
        else:
            done = min(step.done, step.total)
            bar = ProgressBar(total=step.total, completed=done, width=width, pulse=False)
        line = Table.grid(padding=(0, 1))
        line.add_column(no_wrap=True, overflow="ellipsis", max_width=room - width)
        line.add_column(width=width)
        line.add_column(no_wrap=True)
        line.add_row(Text(step.doing), bar, Text(told))
        return line

    def clear(self) -> None:
        if self.drawn:
            self._write("")
            self.drawn = False

    def _write(self, text: str) -> None:
        """Replaces the line that the cursor is in."""
        self.stream.write(f"\r\x1b[2K{text}")
        self.stream.flush()


def _is_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


_shown = _Shown()
