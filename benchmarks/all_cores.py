# SPDX-License-Identifier: MIT
"""How much faster audit, evaluation, predictions and embedding are on two cores than on one.

    python benchmarks/all_cores.py                        all of them
    python benchmarks/all_cores.py --only audit embed
    python benchmarks/all_cores.py --keep FOLDER          images and models stay for the next time

Each task has a process that may use one core and another that may use two. Both do it once before
they are timed, then in turns, so that what else the machine does falls on both. The gain is that of
the medians; cores are CPU time over time by the clock. Wants a quiet machine: where "used" of the
first row of a task is below 1, other programs had a part of it.

The third row is the most that this machine allows: two processes that share nothing, one on each
core, do the task twice, at once. Its gain is below 2 where cores share caches, memory or heat.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES, SIZE = 96, (500, 375)  # of ImageNet's size; the audit takes them several times over
COPIES = 20
TASKS = ("audit", "evaluate", "evaluate litert", "predict onnx", "embed")


def prepare(folder: Path, name: str) -> None:
    """Makes photographs of noise in two classes, and a model as a run's files, once."""
    if (folder / "images" / "b").exists():
        return
    import numpy as np
    from PIL import Image

    import keras_vit
    from keras_vit.export.litert import to_tflite
    from keras_vit.export.metadata import Metadata
    from keras_vit.export.onnx import to_onnx

    model = keras_vit.vit(keras_vit.ViTConfig.of(name, num_classes=2))
    model.save(folder / "model.keras")
    metadata = Metadata(name, ("a", "b"), (224, 224), 3)
    to_tflite(model, folder / "model.tflite", metadata)
    to_onnx(model, folder / "model.onnx", metadata)
    draws = np.random.default_rng(0)
    for i in range(IMAGES):
        coarse = draws.integers(0, 256, (24, 32, 3), dtype="uint8")
        pixels = np.asarray(Image.fromarray(coarse).resize(SIZE)).astype("int16")
        pixels += draws.integers(-12, 13, (*SIZE[::-1], 1)).astype("int16")
        path = folder / "images" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(path, quality=90)


def task(name: str, folder: Path):
    """Makes the function that does a task, from nothing to plain data."""
    images = folder / "images"
    paths = sorted(map(str, images.rglob("*.jpg")))
    if name == "audit":
        from keras_vit.data.checks.examine import examine_all

        return lambda: [(one.path, one.digest, one.problem) for one in examine_all(paths * COPIES)]
    if name == "embed":
        import numpy as np

        from keras_vit import create
        from keras_vit.data.image_list import list_images
        from keras_vit.features.embed import _batches
        from keras_vit.preprocessing import Preprocessing

        backbone = create(folder / "model.keras", num_classes=0)
        found, seen = list_images([str(images)]), Preprocessing((224, 224))

        def embed():
            parts = [row for _, row in _batches(backbone, found, seen, 32, print)]
            return np.concatenate(parts).tolist()

        return embed
    return _with_predictor(name, folder, paths)


def _with_predictor(name: str, folder: Path, paths: list[str]):
    from keras_vit import Predictor, hardware
    from keras_vit.data.by_name import load_for_test
    from keras_vit.export.metadata import Metadata
    from keras_vit.export.runner import open_runner
    from keras_vit.export.worker import Worker

    suffix = {"evaluate": ".keras", "evaluate litert": ".tflite", "predict onnx": ".onnx"}[name]
    path = folder / f"model{suffix}"
    keras = suffix == ".keras"
    runner = open_runner(path) if keras else Worker(path, hardware.threads())
    predictor = Predictor(runner, Metadata("model", ("a", "b"), (224, 224), 3), path)
    if name == "predict onnx":
        return lambda: [(one.path, *one.scores) for one in predictor.predict(paths)]
    _, split = load_for_test(str(folder / "images"))
    return lambda: predictor.logits(split).tolist()


def work(name: str, folder: Path) -> None:
    """Does a task once, and again for each line of standard input: seconds, CPU seconds, result."""
    do = task(name, folder)
    do()
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, before = time.perf_counter(), _cpu_seconds()
        result = do()
        times = time.perf_counter() - wall, _cpu_seconds() - before
        print(json.dumps([*times, result]), flush=True)


def _cpu_seconds() -> float:
    """Of this process and of those that it started."""
    total = time.process_time()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


class Child:
    """A process that does one task on some cores."""

    def __init__(self, name: str, folder: Path, cores: list[int]):
        environment = {**os.environ, "KERAS_VIT_PROGRESS": "off", "TF_CPP_MIN_LOG_LEVEL": "3"}
        for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"):
            environment.pop(variable, None)
        command = [sys.executable, __file__, "--work", name, "--keep", str(folder)]
        self.messages = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            text=True,
            env=environment,
        )
        self.walls: list[float] = []
        self.shares: list[float] = []
        self.result = None

    def wait(self) -> None:
        if self.process.stdout.readline() != "ready\n":
            self.messages.seek(0)
            sys.exit(self.messages.read())

    def begin(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> None:
        wall, cpu, self.result = json.loads(self.process.stdout.readline())
        self.walls.append(wall)
        self.shares.append(cpu / wall)

    def used(self) -> float:
        return statistics.median(self.shares)

    def end(self) -> None:
        self.process.communicate()


def compare(name: str, folder: Path, turns: int) -> None:
    """Prints one row for one core, one for two, and one for two processes on a core each."""
    first, second = sorted(os.sched_getaffinity(0))[-2:]
    alone = Child(name, folder, [second])
    both = Child(name, folder, [first, second])
    apart = [Child(name, folder, [core]) for core in (first, second)]
    for child in (alone, both, *apart):
        child.wait()
    for _ in range(turns):
        for together in ([alone], [both], apart):
            for child in together:
                child.begin()
            for child in together:
                child.finish()
    one, two = statistics.median(alone.walls), statistics.median(both.walls)
    slower = statistics.median(map(max, zip(*(child.walls for child in apart), strict=True)))
    print(f"{name:<16}{'1':>6}{one:>9.2f}{alone.used():>8.2f}")
    print(f"{name:<16}{'2':>6}{two:>9.2f}{both.used():>8.2f}{one / two:>7.2f}  ", end="")
    print(difference(alone.result, both.result))
    used = sum(child.used() for child in apart)
    print(f"{name:<16}{'1+1':>6}{slower:>9.2f}{used:>8.2f}{2 * one / slower:>7.2f}  done twice")
    for child in (alone, both, *apart):
        child.end()


def difference(one, two) -> str:
    """In words, what is not equal."""
    if one == two:
        return "equal"
    import numpy as np

    numbers = [
        np.array([[x for x in row if isinstance(x, float)] for row in rows]) for rows in (one, two)
    ]
    return f"numbers at most {np.abs(numbers[0] - numbers[1]).max():.1e} apart"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--only", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    flags.add_argument("--model", default="S/16")
    flags.add_argument("--turns", type=int, default=3)
    flags.add_argument("--keep", type=Path, metavar="FOLDER")
    flags.add_argument("--work", choices=TASKS, help=argparse.SUPPRESS)
    flags = flags.parse_args()
    if flags.work:
        work(flags.work, flags.keep)
        return
    with contextlib.ExitStack() as stack:
        folder = flags.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        prepare(folder, flags.model)
        print(f"{'task':<16}{'cores':>6}{'seconds':>9}{'used':>8}{'gain':>7}  output")
        for name in flags.only:
            compare(name, folder, flags.turns)


if __name__ == "__main__":
    main()
