# SPDX-License-Identifier: MIT
"""A training step of keras_vit beside KerasHub's, timm's and that of transformers.

    python benchmarks/training/step.py --model Ti/16 --steps 8
    python benchmarks/training/step.py --model S/16 --batch 1 4 64 --only keras_vit timm
    python benchmarks/training/step.py --model cifar --batch 128 --steps 30
    python benchmarks/training/step.py --precision bfloat16 --only keras_vit keras_vit_jax
    python benchmarks/training/step.py --device gpu --only keras_vit_jax timm timm_compiled

Every contender is a process of its own on one thread of the same core and makes one step at a time,
in turns, of the same work: AdamW with clipping on a batch that is there already. timm is there
eager and under `torch.compile`, both with PyTorch's fused AdamW; ours with rematerialization and on
JAX too. A time is the CPU time of the process, which on one pinned thread is the wall clock without
the other jobs of the machine, and the least of several turns: other jobs make it longer and never
shorter. "First step" is the CPU time of the process from its start to the end of its first step,
"memory" its peak at the end.

Products of matrices count two operations for each multiply-add, three times those of a forward pass
for a step. The peak is what a float32 product of 2,048 x 2,048 matrices in NumPy reaches on this
core, between the turns of the contenders. On a GPU, times are those of the clock, and there is no
peak.

What is not installed is left out, with its reason; the extra `bench` has all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_CONTENDER = Path(__file__).with_name("contender.py")
_CONTENDERS = (
    *("keras_vit", "keras_vit_remat", "keras_vit_jax"),
    *("keras_hub", "timm", "timm_compiled", "hugging_face"),
)
_224 = {"image_size": 224, "patch_size": 16, "depth": 12, "classes": 1000}
MODELS = {
    "cifar": {
        **{"image_size": 32, "patch_size": 4, "depth": 4, "classes": 10},
        **{"width": 48, "heads": 4, "mlp_dim": 192},
    },
    "Ti/16": {**_224, "width": 192, "heads": 3, "mlp_dim": 768},
    "S/16": {**_224, "width": 384, "heads": 6, "mlp_dim": 1536},
}
_PEAK_SIDE = 2048  # of the matrices whose product is the peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="Ti/16")
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--only", nargs="+", choices=_CONTENDERS, default=_CONTENDERS)
    args = parser.parse_args()
    for setting in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # another CPU's kernels, a lower peak
        os.environ.pop(setting, None)
    if args.device == "cpu":
        os.sched_setaffinity(0, {args.core})
    for batch in args.batch:
        settings = {"precision": args.precision, "device": args.device, "batch": batch}
        with tempfile.TemporaryDirectory() as folder:
            compare(args, {**MODELS[args.model], **settings}, Path(folder))


def compare(args: argparse.Namespace, settings: dict, folder: Path) -> None:
    """Runs the contenders in turns, and prints their table."""
    started, missing, peak = {}, {}, 0.0
    for name in args.only:
        process = Process(name, settings, folder / name)
        (missing if process.failed else started)[name] = process
    for what in ("step", "forward"):
        for _ in range(args.steps):
            peak = max(peak, float32_peak() if args.device == "cpu" else 0)
            for process in started.values():
                process.times[what].append(process.ask(what)["seconds"])
    if started:
        _print(args.model, settings, started, peak)
    for name, process in missing.items():
        print(f"\n{name} is left out: {process.failed}")
    for process in (*started.values(), *missing.values()):
        process.end()


class Process:
    """A contender that waits for the next thing to do; what it says of errors goes to a file."""

    def __init__(self, name: str, settings: dict, errors: Path):
        command = [sys.executable, str(_CONTENDER), name, json.dumps(settings)]
        self.times: dict[str, list[float]] = {"step": [], "forward": []}
        self._errors = errors
        with errors.open("w") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        started = self._answer()
        self.failed, self.first = started.get("failed"), started.get("first")

    def ask(self, what: str) -> dict:
        print(what, file=self._process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        self._process.communicate()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return {"failed": lines[-1][:200] if lines else "its process ended"}


def multiply_adds(*, image_size, patch_size, width, depth, mlp_dim, classes, batch, **_) -> int:
    """Those of the products of matrices in a forward pass."""
    patches = (image_size // patch_size) ** 2
    tokens = patches + 1
    block = tokens * width * (4 * width + 2 * mlp_dim) + 2 * tokens * tokens * width
    image = patches * patch_size**2 * 3 * width + depth * block + width * classes
    return batch * image


def float32_peak() -> float:
    """Operations that a product of matrices makes in a CPU second of this process."""
    import numpy as np  # after the number of cores has been set, which it reads

    x = np.ones((_PEAK_SIDE, _PEAK_SIDE), "float32")
    before = time.process_time()
    x @ x
    return 2 * _PEAK_SIDE**3 / (time.process_time() - before)


def _print(model: str, settings: dict, started: dict[str, Process], peak: float) -> None:
    from keras_vit import hardware

    features = [flag for flag in hardware.NOTABLE_FLAGS if flag in hardware.cpu_flags()]
    machine = f"1 thread, {hardware.cpu_name()} ({', '.join(features)})"
    if settings["device"] == "gpu":
        machine = "GPU"
    print(f"\n{model}, batch {settings['batch']}, {settings['precision']}, {machine}", end="")
    print(f", peak {peak / 1e9:.0f} GFLOP/s\n" if peak else "\n")
    columns = ("", "step, s", "to ours", "images/s", "GFLOP/s", "of peak", "forward, s")
    columns = (*columns, "first step", "memory")
    print("|", " | ".join(columns), "|")
    print("|" + "---|" * len(columns))
    ours = min(next(iter(started.values())).times["step"])
    for name, process in started.items():
        step, forward = (min(process.times[what]) for what in ("step", "forward"))
        speed = 6 * multiply_adds(**settings) / step
        share = f"{speed / peak:.0%}" if peak else ""
        print(
            f"| {name} | {step:.3f} | {step / ours:.2f} | {settings['batch'] / step:.1f} | "
            f"{speed / 1e9:.0f} | {share} | {forward:.3f} | {process.first:.1f} s | "
            f"{process.ask('memory')['megabytes']:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
