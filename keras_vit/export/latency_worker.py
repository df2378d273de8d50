# SPDX-License-Identifier: MIT
"""The process that runs one model file for `keras_vit.export.latency`.

    python -m keras_vit.export.latency_worker THREADS HEIGHT WIDTH CHANNELS [FILE]

Each line of standard input is a JSON list `[batch, seconds]`; the answer is a line with `[wall
clock, CPU time]` of each call, in milliseconds. Without a file, the calls are float32 matrix
products. At the end of the input the last line is the most memory that the process held, in
megabytes.

A script with the same arguments that imports this module first, and calls `serve` with a function
of its own, measures what keras_vit cannot open.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Read by the libraries when they are imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ[_variable] = sys.argv[1]

import numpy as np  # noqa: E402

from keras_vit.errors import UserError  # noqa: E402
from keras_vit.export.runner import Runner, open_runner  # noqa: E402

PEAK_SIZE = 1024  # a square matrix of this size is as good as a layer of a large model gets
_WARM_UP_CALLS = 3


def serve(open_model: Callable[[str, int], Runner] = open_runner) -> None:
    """Answers the lines of standard input.

    Args:
        open_model: from a file and a number of threads to a function of pixels, float32
            `(batch, height, width, channels)`, 0 to 255; called once the process is confined to its
            cores.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    threads, *shape = map(int, sys.argv[1:5])
    if hasattr(os, "sched_setaffinity"):  # some runtimes choose their own number of threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    try:
        run = open_model(sys.argv[5], threads) if len(sys.argv) > 5 else _matrix_product()
    except UserError as error:
        answers.write(json.dumps({"error": str(error)}) + "\n")
        return
    random = np.random.default_rng(0)
    pixels = {}
    for line in sys.stdin:
        batch, seconds = json.loads(line)
        first = batch not in pixels
        if first:
            pixels[batch] = random.integers(0, 256, (batch, *shape)).astype("float32")
        answers.write(json.dumps(_times(run, pixels[batch], seconds, first)) + "\n")
    answers.write(json.dumps(_peak_bytes() / 1e6) + "\n")


def _times(run, pixels: np.ndarray, seconds: float, first: bool) -> list[tuple[float, float]]:
    for _ in range(_WARM_UP_CALLS if first else 1):  # caches belong to whoever ran before
        run(pixels)
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        wall, cpu = time.perf_counter(), time.process_time()
        run(pixels)
        times.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return times


def _matrix_product():
    a = np.random.default_rng(0).random((PEAK_SIZE, PEAK_SIZE), dtype="float32")
    result = np.empty_like(a)
    return lambda pixels: np.matmul(a, a, out=result)


def _peak_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:  # not Linux
        scale = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    # On Linux ru_maxrss starts with what the parent held when it started this process.
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    serve()
