# SPDX-License-Identifier: MIT
"""Runs a model file in a process of its own, which may die of it.

A `.tflite` with one changed byte can end the process that runs it, an `.onnx` file can ask for all
memory there is, a SavedModel can count to infinity. Each of them becomes one line here.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from keras_vit import hardware
from keras_vit.errors import UserError
from keras_vit.files import size_in_bytes
from keras_vit.processes import python_command

if TYPE_CHECKING:
    import numpy as np

_MODULE = "keras_vit.export.worker_process"
# Seconds before a process is ended. A core does 5 GFLOPs a second at the least, and a byte of int8
# weights is 1,500 FLOPs for an image of 729 tokens: 0.3 s for a megabyte.
_OPEN_SECONDS, _OPEN_MEGABYTE = 120, 0.1
_CALL_SECONDS, _IMAGE_MEGABYTE = 60, 0.5
# Of the memory that is free when the process starts; it gets 4 GiB in any case, which counts the
# stacks of its threads, 8 MiB each, used or not.
_MEMORY_SHARE, _MEMORY_LEAST = 0.75, 4 * 1024**3
_LINE = 64_000_000  # bytes of an answer: labels, or the times of a turn
_SHOWN = 300  # characters of the last message of a process that died
_LAST_WORDS = 10  # seconds between the end of its output and its own
_TIME_IS_UP = "SIGALRM"
_NO_MEMORY = "SIGKILL"


class Worker:
    """A model file in a process of its own: call it for logits.

    The process starts at once and opens the file while the caller does something else. It ends
    with `close`, with the `with` block, when the object is gone, or with this process.

    Args:
        path: see `open_runner`; None for products of matrices, the peak that `measure` compares
            with.
        threads: of the runtime.
        confined: whether the process is held to that many cores, to be timed.
        unsafe: whether a SavedModel may contain any operator.
        command: a script that calls `keras_vit.export.worker_process.serve`, for a file that
            `open_runner` does not open.
        runtime: see `open_runner`.

    Raises:
        UserError: from any of its methods, in one line that names the file: it cannot be read or
            run, its process died, or took more time or memory than is given to it.
    """

    def __init__(
        self,
        path: str | os.PathLike | None,
        threads: int = 1,
        confined: bool = False,
        unsafe: bool = False,
        command: Sequence[str] | None = None,
        runtime: str | None = None,
    ):
        # As told, for messages; the process has the same current folder.
        self.path = path
        self.threads = threads
        self._megabytes = 0 if path is None else size_in_bytes(path) / 1e6
        self._lock = threading.Lock()  # TensorFlow calls teachers from several threads
        self._opened: dict[str, Any] | None = None
        self._failed: UserError | None = None
        settings = {
            "path": None if path is None else os.fspath(path),
            "threads": threads,
            "confined": confined,
            "unsafe": unsafe,
            "runtime": runtime,
            "memory": _memory(),
            "seconds": round(_OPEN_SECONDS + _OPEN_MEGABYTE * self._megabytes),
        }
        # A file takes any number of messages; a pipe that nobody reads fills up.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*(command or python_command(_MODULE)), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
        )
        self.close = weakref.finalize(self, _end, self._process, self._messages)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the images that the file takes: `(batch, height, width, channels)`, with None
        where any number goes."""
        return tuple(self._open()["input_shape"])

    @property
    def metadata(self) -> str | None:
        """The text of the file's own `metadata.json` where its runtime alone can read it."""
        return self._open()["metadata"]

    def __call__(self, images: "np.ndarray") -> "np.ndarray":
        """Logits, float32 `(n, classes)`, of pixels of any real dtype `(n, height, width,
        channels)`, 0 to 255."""
        import numpy as np

        images = np.ascontiguousarray(images)
        request = {"do": "run", "shape": images.shape, "dtype": images.dtype.str}
        with self._lock:
            answer = self._ask(request, len(images), images.data.cast("B") if images.size else b"")
            shape = tuple(answer["shape"])
            values = self._read(4 * int(np.prod(shape, dtype="int64")))
        return np.frombuffer(values, "<f4").reshape(shape)

    def time(self, shape: Sequence[int], seconds: float) -> list[list[float]]:
        """Milliseconds of each call on random pixels `shape` in one turn, one call at least: wall
        clock and CPU time."""
        request = {"do": "time", "shape": list(shape), "seconds": seconds}
        with self._lock:
            return self._ask(request, 5 * shape[0] + round(seconds))["times"]

    def peak_bytes(self) -> int:
        """The most memory that the process has held, Python and libraries counted in."""
        with self._lock:
            return self._ask({"do": "peak"}, 0)["bytes"]

    def _open(self) -> dict[str, Any]:
        with self._lock:
            return self._first_answer()

    def _first_answer(self) -> dict[str, Any]:
        if self._failed is not None:
            raise self._failed
        if self._opened is None:
            try:
                self._opened = self._answer()
            except UserError as error:
                self._failed = error
                raise
        return self._opened

    def _ask(self, request: dict, images: int, data: bytes | memoryview = b"") -> dict[str, Any]:
        self._first_answer()
        limit = _CALL_SECONDS + images * (1 + _IMAGE_MEGABYTE * self._megabytes)
        try:
            self._process.stdin.write(json.dumps({**request, "limit": round(limit)}).encode())
            self._process.stdin.write(b"\n")
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # ended, or was closed because of an error
            raise self._death() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline(_LINE)
        if not line.endswith(b"\n"):
            raise self._death()
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        if len(data) != count:
            raise self._death()
        return data

    def _death(self) -> UserError:
        """Says what the process died of."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS)
        self._process.kill()
        code, name = self._process.wait(), self.path or "NumPy"
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._messages.seek(0)
        lines = self._messages.read(_LINE).decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if not line.startswith("INFO:")]
        last = next((line for line in reversed(said) if line), "")[:_SHOWN]
        if cause == _TIME_IS_UP:
            return UserError(f"{name}: its process was ended: it took longer than is given to it.")
        if cause == _NO_MEMORY:
            return UserError(f"{name}: its process was killed; it may have taken all the memory.")
        blame = " The file is damaged, or made to do harm." if code < 0 else ""
        return UserError(f"{name}: its process ended ({cause}{': ' * bool(last)}{last}).{blame}")


def run_in_new_process(path: str | os.PathLike, images: "np.ndarray") -> "np.ndarray":
    """Logits of a file for the first image alone and then for all in one batch, from a process that
    knows nothing of the one that wrote it.

    Args:
        path: what `open_runner` opens.
        images: `(n, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(1 + n, classes)`.
    """
    import numpy as np

    with Worker(path) as run:
        return np.concatenate([run(images[:1]), run(images)])


def _end(process: subprocess.Popen, messages: IO[bytes]) -> None:
    process.kill()
    process.communicate()
    messages.close()


def _memory() -> int:
    """Bytes that a process may fill; 0 where nobody knows what is free."""
    free = hardware.free_memory_bytes()
    return max(_MEMORY_LEAST, int(_MEMORY_SHARE * free)) if free else 0
