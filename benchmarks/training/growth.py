# SPDX-License-Identifier: MIT
"""How the cost of training grows: with the batch, the tokens, the depth, the width, and around it.

    python benchmarks/training/growth.py --out runs/growth --svg docs/growth.svg

A train step of a ViT of four blocks, AdamW with clipping, float32, on one thread, each size in a
process of its own, which begins with TensorFlow imported: CPU seconds, the least of some steps, and
peak memory. "To linear" compares the time of an operation with that of the largest size of the same
row of sizes: 1 is linear growth in FLOPs, above it a smaller size pays more for each.

Then what stands around the steps: writing and reading a checkpoint, against the parameters, and
exporting a model with the check of its LiteRT file, against the test images.

What was measured is kept in the folder, so that a second start goes on, and draws anew.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import contender
from growth_costs import checkpoint_costs, export_costs
from step import multiply_adds

_BASE = {"image_size": 224, "patch_size": 16, "classes": 1000, "precision": "float32"}
_HEAD = 64  # numbers of a head, as in the published models


def settings(batch=8, image_size=224, depth=4, width=192) -> dict:
    return {
        **_BASE,
        **{"batch": batch, "image_size": image_size, "depth": depth, "width": width},
        **{"heads": width // _HEAD, "mlp_dim": 4 * width},
    }


AXES: dict[str, dict[int, dict]] = {
    "batch": {n: settings(batch=n) for n in (1, 4, 16, 64)},
    "tokens": {(n // 16) ** 2: settings(4, image_size=n) for n in (128, 192, 256, 384, 512)},
    "depth": {n: settings(depth=n) for n in (2, 4, 8, 16)},
    "width": {n: settings(4, width=n) for n in (64, 192, 384, 768)},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/growth"))
    parser.add_argument("--svg", type=Path, help="where the figure goes; default: into --out")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--core", type=int, default=1)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    args.out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for axis, sizes in AXES.items():
        for size, wanted in sizes.items():
            path = args.out / f"{axis}-{size}.json"
            rows[axis, size] = kept(path, lambda wanted=wanted: measure(wanted, args.steps))
    print_steps(rows)
    print_costs(kept(args.out / "checkpoint.json", checkpoint_costs))
    print_costs(kept(args.out / "export.json", export_costs))
    draw(rows, args.svg or args.out / "growth.svg")


def kept(path: Path, measured: Callable):
    """What a file holds; or else what is measured now, and put there."""
    if not path.exists():
        path.write_text(json.dumps(measured(), indent=1) + "\n")
        print(path, file=sys.stderr)
    return json.loads(path.read_text())


def measure(wanted: dict, steps: int) -> dict[str, float]:
    """Operations, CPU seconds and peak memory of a train step, in a copy of this process."""
    import tensorflow  # noqa: F401  (the copies need not import it)

    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_measured, (wanted, steps))


def _measured(wanted: dict, steps: int) -> dict[str, float]:
    train, _ = contender.keras_vit(wanted)
    train()
    seconds = []
    for _ in range(steps):
        before = time.process_time()
        train()
        seconds.append(time.process_time() - before)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    flops = 6 * multiply_adds(**wanted)
    return {"flops": flops, "seconds": min(seconds), "megabytes": memory}


def print_steps(rows: dict) -> None:
    columns = ("", "GFLOPs of a step", "CPU s", "GFLOP/s", "to linear", "memory, MB")
    print("|", " | ".join(columns), "|\n|" + "---|" * len(columns))
    for (axis, size), row in rows.items():
        print(
            f"| {axis} {size:,} | {row['flops'] / 1e9:.1f} | {row['seconds']:.3f} | "
            f"{row['flops'] / row['seconds'] / 1e9:.0f} | {to_linear(rows, axis, size):.2f} | "
            f"{row['megabytes']:.0f} |"
        )
    first, last = (rows["batch", n] for n in (min(AXES["batch"]), max(AXES["batch"])))
    count = max(AXES["batch"]) - min(AXES["batch"])
    print(f"\nan image: {(last['megabytes'] - first['megabytes']) / count:.1f} MB")


def to_linear(rows: dict, axis: str, size: int) -> float:
    """The time of an operation, over that at the largest size of the axis."""
    one, largest = rows[axis, size], rows[axis, max(AXES[axis])]
    return one["seconds"] / one["flops"] / (largest["seconds"] / largest["flops"])


def print_costs(costs: list[dict]) -> None:
    """A table with a column for each number."""
    print("\n|", " | ".join(costs[0]), "|\n|" + "---|" * len(costs[0]))
    for cost in costs:
        values = (f"{value:,.3g}" if value < 1e3 else f"{value:,.0f}" for value in cost.values())
        print("|", " | ".join(values), "|")


def draw(rows: dict, path: Path) -> None:
    """CPU seconds and memory over the operations of a step, a line for each row of sizes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "growth", "font.size": 9}
    from matplotlib import pyplot

    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, sizes in AXES.items():
        points = [rows[axis, size] for size in sizes]
        flops = [point["flops"] / 1e9 for point in points]
        times.loglog(flops, [point["seconds"] for point in points], "o-", label=axis)
        memory.plot(flops, [point["megabytes"] for point in points], "o-", label=axis)
    every = sorted(rows.values(), key=lambda row: row["flops"])
    ends, best = (every[0], every[-1]), max(row["flops"] / row["seconds"] for row in every)
    times.plot(
        [end["flops"] / 1e9 for end in ends],
        [end["flops"] / best for end in ends],
        *("k:",),
        label=f"{best / 1e9:.0f} GFLOP/s",
    )
    for panel, title in ((times, "CPU seconds of a train step"), (memory, "peak memory, MB")):
        panel.set(title=title, xlabel="GFLOPs of a train step")
        panel.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
