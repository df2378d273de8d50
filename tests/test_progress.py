# SPDX-License-Identifier: MIT
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from keras_vit import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def quick(monkeypatch):
    """Bars and lines that do not wait."""
    monkeypatch.delenv("KERAS_VIT_PROGRESS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name in ("_BAR_AFTER", "_LINE_AFTER", "_LINE_EVERY"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setattr(progress, "_FRAME", 0.005)


def shown_on(stream, monkeypatch, needle, doing="reading photos/", total=4):
    """What a step writes to a stream, which it does until `needle` is there."""
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step(doing, total, "images") as step:
        step.advance(1)
        until = time.monotonic() + 20
        while needle not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.005)
    assert needle in stream.getvalue()
    return stream.getvalue()


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (41.4, "0:41"), (725, "12:05"), (3723, "1:02:03")]
)
def test_a_time_reads_like_a_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_the_time_left_can_leave_out_a_slow_beginning(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    step = progress.Step("training", 10, "steps")
    now[0] = 30.0
    step.advance()
    step.time_from_here()
    assert step.left() == "0:30 so far"
    now[0] = 32.0
    step.advance()
    assert step.left() == "0:16 left"
    step.time_from_here(heavier=4.0)
    now[0] = 33.0
    step.advance()
    assert step.left() == "0:11 left"  # seven steps, and what the larger ones cost beside that


def test_a_log_gets_lines_with_the_count_and_the_time_left(quick, monkeypatch):
    written = shown_on(io.StringIO(), monkeypatch, "left\n")
    first = written.splitlines()[0]
    assert first == "reading photos/: 1 of 4 images, 25%, 0:00 left"
    assert "\x1b" not in written and "\r" not in written


def test_a_terminal_gets_a_bar_and_is_left_clean(quick, monkeypatch):
    written = shown_on(Terminal(), monkeypatch, "1 of 4 images")
    assert "━" in written and "\n" not in written
    assert written.endswith("\r\x1b[2K")
    assert "\x1b[?25" not in written  # the cursor stays: a killed process cannot bring it back


def test_a_terminal_that_knows_no_escape_codes_gets_lines(quick, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown_on(Terminal(), monkeypatch, "left\n")


def test_no_color_leaves_the_bar_without_colors(quick, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    written = shown_on(Terminal(), monkeypatch, "1 of 4 images")
    assert set(re.findall(r"\x1b\[[\d;]*\w", written)) == {"\x1b[2K"}  # which clears the line


@pytest.mark.parametrize("width", ["20", "60", "200"])
def test_the_name_of_a_file_cannot_reach_the_terminal_or_fill_it(quick, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    name = "reading \x1b[31m\x07\r\n" + "x" * 5000 + "世" * 50
    written = shown_on(Terminal(), monkeypatch, " images ", doing=name, total=None)
    for code in ("\x1b[31m", "\x07", "\n"):
        assert code not in written
    assert all(len(frame) < 400 for frame in written.split("\r"))


def test_a_step_inside_of_another_is_shown_instead_of_it(quick, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("exporting"):
        written = shown_on(stream, monkeypatch, "testing", doing="testing")
    assert "testing: 1 of 4 images" in written
    assert not progress._shown.steps and progress._shown.thread is None


def test_a_loop_counts_what_its_items_are(monkeypatch):
    monkeypatch.setenv("KERAS_VIT_PROGRESS", "off")
    steps, make = [], progress.Step
    monkeypatch.setattr(progress, "Step", lambda *a: steps.append(make(*a)) or steps[-1])
    batches = [[1, 2, 3], [4]]
    assert list(progress.track(batches, "testing", 4, size=len)) == batches
    assert steps[0].done == 4


def test_it_can_be_switched_off(quick, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_PROGRESS", "off")
    before = threading.active_count()
    with progress.step("reading"):
        assert threading.active_count() == before


def test_a_line_is_printed_above_the_bar(quick, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("reading", 4, "images"):
        while "reading" not in stream.getvalue():
            time.sleep(0.005)
        progress.say("photos/1.jpg: is no image")
    assert "\r\x1b[2Kphotos/1.jpg: is no image\n" in stream.getvalue()


def test_a_closed_standard_error_ends_nothing(quick, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("reading"):
        stream.close()
        time.sleep(0.05)
    assert progress._shown.thread is None


def test_an_interrupted_step_leaves_a_clean_terminal_and_says_nothing_more():
    """On a terminal of its own, with the signal of Ctrl-C once the bar is there."""
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # off in background jobs
        "from keras_vit import progress\n"
        "progress._BAR_AFTER = 0\n"
        "with progress.step('reading', 4, 'images'):\n"
        "    time.sleep(60)\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHON_COLORS": "0"}
    environment.pop("KERAS_VIT_PROGRESS", None)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while b"reading" not in written:
        written += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    while part := _read(ours):
        written += part
    os.close(ours)
    before, after = written.split(b"Traceback")
    assert process.wait() and b"reading" in before and before.endswith(b"\r\x1b[2K")
    assert b"KeyboardInterrupt" in after and b"\x1b" not in after


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side has been closed
        return b""


def test_nothing_is_imported_before_there_is_something_to_show():
    code = (
        "import sys\nfrom keras_vit import progress\n"
        "with progress.step('reading'):\n    pass\n"
        "print([m for m in ('rich', 'numpy', 'keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"
