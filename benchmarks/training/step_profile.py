# SPDX-License-Identifier: MIT
"""Where the time of a training step of keras_vit goes, and that before the first one.

    python benchmarks/training/step_profile.py --model Ti/16 --steps 4

Prints the CPU seconds of each part of the start, the number of operators in the graph of a step,
and the time of a step by kinds of operators, as TensorFlow's own profiler has it: one thread runs
them one after the other, so that their times add up. Those are seconds of the clock, in which other
jobs of the core have their part.
"""

import argparse
import collections
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import contender  # before TensorFlow: it says how many threads that has
from step import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="Ti/16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--jit", action="store_true", help="the whole step under XLA")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--rows", type=int, default=16)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    settings = {**MODELS[args.model], "batch": args.batch, "precision": "float32", "jit": args.jit}
    clock = Clock()
    train = _start(settings, clock)
    print("| start | CPU s |\n|---|---|")
    for part, seconds in clock.parts.items():
        print(f"| {part} | {seconds:.2f} |")
    _print_kinds(_profiled(train, args.steps), args.rows)


class Clock:
    """CPU seconds of this process, part by part."""

    def __init__(self):
        self.parts: dict[str, float] = {}
        self._last = 0.0

    def passed(self, part: str) -> None:
        now = time.process_time()
        self.parts[part] = now - self._last
        self._last = now


def _start(settings: dict, clock: Clock):
    """Makes the first step; returns what makes another."""
    import tensorflow as tf

    clock.passed("import of TensorFlow")
    import keras

    clock.passed("import of Keras")
    model, optimizer = contender.model_and_optimizer(settings)
    clock.passed("import of keras_vit, model, optimizer")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=settings["jit"])
    batches = tf.data.Dataset.from_tensors(contender.make_batch(settings)).repeat()
    iterator = iter(batches)
    model.make_train_function()
    clock.passed("compile, data")
    inner = (cell.cell_contents for cell in model.train_function.__closure__)
    function = next(f for f in inner if hasattr(f, "get_concrete_function"))
    graph = function.get_concrete_function(iterator).graph.as_graph_def()
    bodies = [graph.node, *(f.node_def for f in graph.library.function)]
    clock.passed("trace")
    float(model.train_function(iterator)["loss"])
    clock.passed("optimise the graph, compile loops, first run")
    print(f"{sum(map(len, bodies)):,} operators in {len(bodies):,} functions\n")
    return lambda: float(model.train_function(iterator)["loss"])


def _profiled(train, steps: int) -> dict[str, float]:
    """Seconds of each operator of a step, the least of several: other jobs interrupt some."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    train()
    least: dict[str, float] = {}
    for _ in range(steps):
        with tempfile.TemporaryDirectory() as folder:
            with tf.profiler.experimental.Profile(folder):
                train()
            (path,) = Path(folder).rglob("*.xplane.pb")
            space = xplane_pb2.XSpace.FromString(path.read_bytes())
        for name, seconds in _operators(space).items():
            least[name] = min(seconds, least.get(name, seconds))
    return least


def _operators(space) -> collections.Counter:
    """Seconds of each operator; what XLA compiled has no names, and counts as one."""
    seconds: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if name == "CpuExecutable::ExecuteAsyncOnStream":
                    seconds["XLA:compiled loops"] += event.duration_ps / 1e12
                elif re.search(r"\w/.*:\w+$", name):  # place in the graph:operator
                    seconds[name] += event.duration_ps / 1e12
    return seconds


def _print_kinds(operators: dict[str, float], rows: int) -> None:
    """The longest kinds of operators."""
    seconds: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[str] = collections.Counter()
    for name, duration in operators.items():
        kind = name.rpartition(":")[2]
        seconds[kind] += duration
        calls[kind] += 1
    print("\n| operators | number | ms | share |\n|---|---|---|---|")
    total = sum(seconds.values())
    for kind, taken in seconds.most_common(rows):
        print(f"| {kind} | {calls[kind]} | {1e3 * taken:.1f} | {taken / total:.1%} |")
    print(f"| all | {len(operators)} | {1e3 * total:.1f} | |")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
