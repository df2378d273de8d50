# SPDX-License-Identifier: MIT
"""The process that runs one model file for `keras_vit.export.worker`.

    python -m keras_vit.export.worker_process SETTINGS

SETTINGS are the JSON of a `Settings`. Each request is a line of JSON on standard input, `run` one
with its pixels after it; each answer a line of JSON on standard output, that to `run` with the
logits after it. The first answer comes unasked and says what the file is. `{"error": text}` is an
answer to anything.

A native library that a damaged file leads astray takes this process with it and no other. What it
may use is bounded: memory, the size of what it writes, and for each request the time.

A script that imports this module first, and calls `serve` with a function of its own, measures what
keras_vit cannot open.
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a worker process runs its file.

    Attributes:
        path: the file; None for products of float32 matrices.
        threads: of the runtime.
        confined: whether the process is held to that many cores.
        unsafe, runtime: see `open_runner`.
        memory: bytes that the process may fill, 0 for any number.
        seconds: that opening the file may take.
    """

    path: str | None
    threads: int = 1
    confined: bool = False
    unsafe: bool = False
    runtime: str | None = None
    memory: int = 0
    seconds: int = 0


SETTINGS = Settings(**json.loads(sys.argv[-1]))
if SETTINGS.confined:
    # Read by the libraries when they are imported.
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[_variable] = str(SETTINGS.threads)
if SETTINGS.path is None:
    # The peak is this CPU's, not that of another one's kernels, which OpenBLAS may be told to take.
    for _variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(_variable, None)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from keras_vit.errors import UserError  # noqa: E402
from keras_vit.export.runner import Runner, open_runner  # noqa: E402

PEAK_SIZE = 1024  # a square matrix of this size is as good as a layer of a large model gets
_WARM_UP_CALLS = 3
_MESSAGES = 1_000_000  # bytes of any file that is written, which are those of messages


def serve(open_model: Callable[[str, int], Runner] | None = None, *, writes: bool = False) -> None:
    """Answers the requests of standard input until it ends.

    Args:
        open_model: from a file and a number of threads to a function of pixels, float32
            `(batch, height, width, channels)`, 0 to 255; called once the process is confined to its
            cores. None for `open_runner`.
        writes: whether the process may write large files, as one that compiles does.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; the parent decides
    _bound(SETTINGS, writes)
    worker = _Server(sys.stdin.buffer, answers)
    with worker.answering(SETTINGS.seconds):
        worker.open(open_model)
    if worker.model is None:
        return
    for line in sys.stdin.buffer:
        request = json.loads(line)
        with worker.answering(request.pop("limit")):
            getattr(worker, request.pop("do"))(**request)


class _Server:
    """Has a method for each request, which writes its answer."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self.requests, self.answers = requests, answers
        self.model: Runner | None = None
        self.seen: set[int] = set()

    @contextlib.contextmanager
    def answering(self, seconds: int):
        """Ends the process when an answer takes too long, and makes an error an answer."""
        if hasattr(signal, "alarm"):
            signal.alarm(seconds)  # its default action reaches into native code
        try:
            yield
        except UserError as error:
            self._answer({"error": str(error)})
        finally:
            if hasattr(signal, "alarm"):
                signal.alarm(0)
        self.answers.flush()

    def open(self, open_model: Callable[[str, int], Runner] | None) -> None:
        """Opens the file, and says what it is."""
        path, threads = SETTINGS.path, SETTINGS.threads
        if path is None:
            self.model = _matrix_product()
        elif open_model is not None:
            self.model = open_model(path, threads)
        else:
            self.model = open_runner(path, threads, SETTINGS.unsafe, SETTINGS.runtime)
        self._answer(
            {
                "input_shape": getattr(self.model, "input_shape", None),
                "metadata": getattr(self.model, "metadata", None),
            }
        )

    def run(self, shape: list[int], dtype: str) -> None:
        """Computes the logits of the pixels that follow."""
        pixels = np.frombuffer(self.requests.read(_size(shape, dtype)), dtype).reshape(shape)
        logits = np.ascontiguousarray(self.model(pixels), "<f4")
        self._answer({"shape": logits.shape})
        self.answers.write(logits.data)

    def time(self, shape: list[int], seconds: float) -> None:
        """Measures calls for so many seconds: of each, wall clock and CPU time in milliseconds."""
        pixels = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
        for _ in range(1 if shape[0] in self.seen else _WARM_UP_CALLS):
            self.model(pixels)  # caches belong to whoever ran before
        self.seen.add(shape[0])
        times: list[tuple[float, float]] = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            wall, cpu = time.perf_counter(), time.process_time()
            self.model(pixels)
            times.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
        self._answer({"times": times})

    def peak(self) -> None:
        """Says the most memory that the process held, in bytes."""
        self._answer({"bytes": _peak_bytes()})

    def _answer(self, answer: dict) -> None:
        self.answers.write(json.dumps(answer).encode() + b"\n")


def _size(shape: list[int], dtype: str) -> int:
    return int(np.prod(shape, dtype="int64")) * np.dtype(dtype).itemsize


def _bound(settings: Settings, writes: bool) -> None:
    """Takes from this process what a model file must not have."""
    if settings.confined and hasattr(os, "sched_setaffinity"):
        # Some runtimes choose their own number of threads.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-settings.threads :])
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not (settings.unsafe or writes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MESSAGES, _MESSAGES))
    if settings.memory:
        # Not RLIMIT_AS: TensorFlow reserves hundreds of gigabytes of addresses for a GPU.
        resource.setrlimit(resource.RLIMIT_DATA, (settings.memory, settings.memory))
    with contextlib.suppress(OSError):  # where memory runs out all the same, this one is to go
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _matrix_product() -> Runner:
    a = np.random.default_rng(0).random((PEAK_SIZE, PEAK_SIZE), dtype="float32")
    result = np.empty_like(a)
    return lambda pixels: np.matmul(a, a, out=result)


def _peak_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:  # not Linux
        import resource

        scale = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    # On Linux ru_maxrss starts with what the parent held when it started this process.
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    serve()
