# SPDX-License-Identifier: MIT
"""How fast model files run: each in a process of its own, in turns, so that a noisy machine slows
all of them alike."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from keras_vit import hardware
from keras_vit.errors import UserError
from keras_vit.export.runner import Runner
from keras_vit.export.worker import Worker
from keras_vit.files import size_in_bytes
from keras_vit.progress import track

_TURN_SECONDS = 0.25  # shorter than the disturbances of a shared machine
_PEAK = "peak"
_PEAK_FLOPS = 2 * 1024**3  # of one call of the worker without a file
_NONE: Mapping = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Latency:
    """What was measured of one file with one number of threads and one batch size.

    Attributes:
        name: what the caller named the file.
        threads: cores that its process was confined to.
        batch: images in a call.
        median_ms, p95_ms: wall clock that half and 95 % of the calls stay below, in milliseconds.
        cpu_ms: median CPU time of a call, all threads together. Other jobs on the machine stretch
            the wall clock and hardly this, so it is what to compare one thread with another by.
        images_per_second: from `median_ms`.
        calls: how many calls were timed.
        bytes: size of the file.
        peak_mb: most memory of the process in 10^6 bytes, Python and libraries counted in.
        gflops: 10^9 floating-point operations in a second; None where `flops` does not say.
        share_of_peak: `gflops` over those of a float32 product of 1024 x 1024 matrices in NumPy
            while it has as many cores to itself; 0 to about 1, None likewise.
    """

    name: str
    threads: int
    batch: int
    median_ms: float
    p95_ms: float
    cpu_ms: float
    images_per_second: float
    calls: int
    bytes: int
    peak_mb: float
    gflops: float | None
    share_of_peak: float | None


def time_files(
    files: Mapping[str, Path],
    image_shape: tuple[int, int, int],
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    seconds: float = 5.0,
    flops: Mapping[str, float] = _NONE,
    workers: Mapping[str, Sequence[str]] = _NONE,
    unsafe: bool = False,
    runtimes: Mapping[str, str] = _NONE,
) -> list[Latency]:
    """Times model files on random pixels.

    Every pair of a file and a number of threads gets a process that is confined to that many cores.
    The processes take turns of a quarter of a second, one at a time, until each has had `seconds`
    for each batch size. `.tflite` and `.onnx` files run without TensorFlow.

    Args:
        files: a name for each model file or folder.
        image_shape: height, width and channels of the pixels.
        threads: numbers of threads, each from 1 to the number of cores.
        batches: images in a call, each 1 or more.
        seconds: time for each file, number of threads and batch size.
        flops: floating-point operations for one image, two for each multiply-add, by the names of
            the files of which they are known.
        workers: by the names of files that `open_runner` does not open, the command that runs them:
            a script that calls `keras_vit.export.worker_process.serve`.
        unsafe: see `keras_vit.export.open_runner`.
        runtimes: what runs a file, by the names of those that do not run in what their format is
            made for; see `keras_vit.export.open_runner`.

    Returns:
        One result for each number of threads, file and batch size, in this order.

    Raises:
        UserError: for more threads than cores, or a file that cannot be opened or run.
    """
    check_numbers(threads, batches)
    with contextlib.ExitStack() as stack:
        processes = {
            (name, count): stack.enter_context(
                Worker(path, count, True, unsafe, workers.get(name), runtimes.get(name))
            )
            for count in threads
            for name, path in {**files, _PEAK: None}.items()
        }
        times = _in_turns(processes, image_shape, batches, seconds)
        memory = {key: worker.peak_bytes() / 1e6 for key, worker in processes.items()}
    # By CPU time: other jobs interrupt these long calls more often than those of small models.
    peak = {
        count: count * _PEAK_FLOPS / _medians(times[_PEAK, count, 1])[1] / 1e6 for count in threads
    }
    return [
        _summary(name, path, count, batch, times, memory[name, count], flops.get(name), peak[count])
        for count in threads
        for name, path in files.items()
        for batch in batches
    ]


def _in_turns(
    processes: Mapping[tuple[str, int], Worker],
    image_shape: tuple[int, int, int],
    batches: Sequence[int],
    seconds: float,
) -> dict[tuple[str, int, int], list[list[float]]]:
    """Milliseconds of wall clock and CPU time of every call, by name, threads and batch."""
    calls = [
        (worker, (name, count, batch))
        for (name, count), worker in processes.items()
        for batch in ((1,) if name == _PEAK else batches)
    ]
    # Nobody is timed while another one loads or compiles.
    for worker, (*_, batch) in track(calls, "loading what is timed", len(calls), "files"):
        worker.time((batch, *image_shape), seconds=0)
    times: dict[tuple[str, int, int], list[list[float]]] = {key: [] for _, key in calls}
    turns = max(1, round(seconds / _TURN_SECONDS)) * calls
    for worker, key in track(turns, "timing", len(turns), "turns"):
        times[key] += worker.time((key[-1], *image_shape), _TURN_SECONDS)
    return times


def check_numbers(threads: Sequence[int], batches: Sequence[int]) -> None:
    """Raises the errors of `time_files` that can be told without any file."""
    cores = hardware.usable_cores()
    for count in threads:
        if not 1 <= count <= cores:
            raise UserError(f"threads: expected 1 to {cores} on this machine, received {count}.")
    for batch in batches:
        if batch < 1:
            raise UserError(f"batch: expected 1 or more, received {batch}.")


def _summary(name, path, threads, batch, times, memory, flops, peak) -> Latency:
    calls = times[name, threads, batch]
    median, cpu = _medians(calls)
    gflops = None if flops is None else flops * batch / median / 1e6
    return Latency(
        name=name,
        threads=threads,
        batch=batch,
        median_ms=median,
        p95_ms=float(np.percentile(calls, 95, axis=0)[0]),
        cpu_ms=cpu,
        images_per_second=1000 * batch / median,
        calls=len(calls),
        bytes=size_in_bytes(path),
        peak_mb=memory,
        gflops=gflops,
        share_of_peak=None if gflops is None else float(gflops / peak),
    )


def _medians(calls: list[list[float]]) -> list[float]:
    """Of wall clock and CPU time."""
    return np.median(calls, axis=0).tolist()


def median_milliseconds(
    runners: Mapping[str, Runner], images: np.ndarray, rounds: int = 50
) -> dict[str, float]:
    """Median times of a batch of one, in milliseconds of wall clock, after five rounds to warm up.

    The runners take turns, so that a machine that is busy for a while slows all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in runners}
    for i in range(5 + rounds):
        image = images[i % len(images)][None]
        for name, run in runners.items():
            start = time.perf_counter()
            run(image)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(found[5:])) for name, found in times.items()}
