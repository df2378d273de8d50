# SPDX-License-Identifier: MIT
"""A training step of keras_vit beside KerasHub's, timm's and that of transformers.

    python benchmarks/training/step.py --model Ti/16 --steps 8
    python benchmarks/training/step.py --model cifar --batch 128 --steps 30

Every contender is a process of its own on one thread of the same core and makes one step at a time,
in turns, of the same work: AdamW with clipping on a batch that is there already. A time is the CPU
time of the process, which on one pinned thread is the wall clock without the other jobs of the
machine; ratios are those of the medians. "First step" is the CPU time of the process from its start
to the end of its first step, "memory" its peak. Products of matrices count two operations for each
multiply-add, three times those of a forward pass for a step.

What is not installed is left out, with its reason; the extra `bench` has all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

_CONTENDER = Path(__file__).with_name("contender.py")
_CONTENDERS = ("keras_vit", "keras_hub", "timm", "timm_compiled", "hugging_face")
_224 = {"image_size": 224, "patch_size": 16, "depth": 12, "classes": 1000}
MODELS = {
    "cifar": {
        **{"image_size": 32, "patch_size": 4, "depth": 4, "classes": 10},
        **{"width": 48, "heads": 4, "mlp_dim": 192},
    },
    "Ti/16": {**_224, "width": 192, "heads": 3, "mlp_dim": 768},
    "S/16": {**_224, "width": 384, "heads": 6, "mlp_dim": 1536},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="Ti/16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=_CONTENDERS, default=_CONTENDERS)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    settings = {**MODELS[args.model], "batch": args.batch, "precision": args.precision}
    started, missing = {}, {}
    for name in args.only:
        process = Process(name, settings)
        (missing if process.failed else started)[name] = process
    for what in ("step", "forward"):
        for _ in range(args.steps):
            for process in started.values():
                process.times[what].append(process.ask(what)["seconds"])
    _print(args, started, 2 * multiply_adds(**settings))
    for name, process in missing.items():
        print(f"\n{name} is left out: {process.failed}")


class Process:
    """A contender that waits for the next thing to do."""

    def __init__(self, name: str, settings: dict):
        command = [sys.executable, str(_CONTENDER), name, json.dumps(settings)]
        self.times: dict[str, list[float]] = {"step": [], "forward": []}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started = self._answer()
        self.failed, self.first = started.get("failed"), started.get("first")

    def ask(self, what: str) -> dict:
        print(what, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": "its process ended"}


def multiply_adds(*, image_size, patch_size, width, depth, mlp_dim, classes, batch, **_) -> int:
    """Those of the products of matrices in a forward pass."""
    patches = (image_size // patch_size) ** 2
    tokens = patches + 1
    block = tokens * width * (4 * width + 2 * mlp_dim) + 2 * tokens * tokens * width
    image = patches * patch_size**2 * 3 * width + depth * block + width * classes
    return batch * image


def _print(args: argparse.Namespace, started: dict[str, Process], operations: int) -> None:
    from keras_vit import hardware

    features = [flag for flag in hardware.NOTABLE_FLAGS if flag in hardware.cpu_flags()]
    print(f"{args.model}, batch {args.batch}, {args.precision}, 1 thread, ", end="")
    print(f"{hardware.cpu_name()} ({', '.join(features)})\n")
    print("| | step, CPU s | to ours | GFLOP/s | forward, CPU s | first step, CPU s | memory |")
    print("|---|---|---|---|---|---|---|")
    ours = next(iter(started.values()))
    for name, process in started.items():
        step, forward = (statistics.median(process.times[what]) for what in ("step", "forward"))
        ratio = step / statistics.median(ours.times["step"])
        print(
            f"| {name} | {step:.3f} | {ratio:.2f} | {3 * operations / step / 1e9:.0f} | "
            f"{forward:.3f} | {process.first:.1f} | {process.ask('memory')['megabytes']:.0f} MB |"
        )


if __name__ == "__main__":
    main()
