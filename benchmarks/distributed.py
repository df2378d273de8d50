# SPDX-License-Identifier: MIT
"""What a train step on many devices would cost, from formulae, and what two processes gain here.

    python benchmarks/distributed.py                    the table of docs/distributed.md
    python benchmarks/distributed.py --figure FILE.svg  and its figure
    python benchmarks/distributed.py --measure          images/s of one process and of two, each on
                                                        a core of its own; wants a quiet machine

Nothing of the table was measured. P is the number of parameters, N that of devices, S that of the
devices that share a model, L that of blocks, T that of tokens, D the width and b the images for
each device. A train step takes the operations of 3 forward passes. Numbers that travel have 4 bytes
where they are gradients or weights (the optimizer keeps float32), 2 where they are activations
(bfloat16). A ring that sums n bytes over N devices sends and receives 2 n (N - 1) / N of each
(Patarasuk and Yuan, 2009, section 3); one that gathers, or sums and scatters, half of that.

    data    2 * 4P (N - 1) / N              gradients are summed
    fsdp    3 * 4P (N - 1) / N              weights gathered forward and backward, gradients
                                            summed and scattered (arXiv 1910.02054, section 7)
    model   8 L b S T D * 2 (S - 1) / S     4 sums of the tokens of all S b images in each block, 2
            + 2 * 4P / S (M - 1) / M        forward and 2 backward (arXiv 1909.08053, section 3),
                                            M = N / S; gradients over the copies of the model

The time of a step lies between max(compute, traffic), where all traffic hides behind arithmetic,
and their sum, where none does. Arithmetic intensity is operations for each byte that travels; a
device waits for the wire where it is below operations/s divided by bytes/s.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from keras_vit.config import ViTConfig
from keras_vit.training.layouts import model_axis

SIZES = ("B/16", "L/16", "H/14", "g/14", "G/14")
DEVICES = (8, 32, 128, 512, 1024, 4096)


@dataclasses.dataclass(frozen=True)
class Device:
    """An accelerator, by its data sheet.

    Attributes:
        flops: operations a second in bfloat16, at its peak.
        used: share of the peak that a ViT reaches; an assumption.
        inside, between: bytes a second that a device sends to others of its machine, and beyond.
        machine: devices in a machine.
        memory: bytes.
    """

    flops: float = 989e12  # H100 SXM, dense
    used: float = 0.4
    inside: float = 450e9  # NVLink 4, one direction
    between: float = 50e9  # one port of 400 Gbit/s for each device
    machine: int = 8
    memory: float = 80e9


@dataclasses.dataclass(frozen=True)
class Step:
    """A train step on one of N devices.

    Attributes:
        sent: bytes that it sends.
        compute, traffic: seconds.
        held: bytes of weights, gradients and two moments.
        intensity: operations for each byte sent.
    """

    sent: float
    compute: float
    traffic: float
    held: float
    intensity: float

    @property
    def efficiency(self) -> tuple[float, float]:
        """The share of its time that it computes: with traffic in sequence, and hidden."""
        return (
            self.compute / (self.compute + self.traffic),
            self.compute / max(self.compute, self.traffic),
        )


def step(config: ViTConfig, kind: str, count: int, images: int, device: Device) -> Step:
    """What one device does in a train step, by the formulae above.

    Args:
        config: the model.
        kind: "data", "fsdp" or "model".
        count: devices.
        images: for each device: those that share a model have them together.
        device: the hardware.
    """
    weights = 4 * config.num_parameters
    shards = shards_of(config, device) if kind == "model" else 1
    operations = 3 * config.forward_flops() * images
    speed = device.inside if count <= device.machine else device.between
    ring = (count - 1) / count
    held = 4 * weights
    if kind == "model":
        copies, tokens = count // shards, images * shards * config.num_tokens * config.width
        inner = 8 * config.depth * tokens * 2 * (shards - 1) / shards
        outer = 2 * weights / shards * (copies - 1) / copies
        sent, traffic = inner + outer, inner / device.inside + outer / speed
        held = held * _held_share(config, shards)
    else:
        sent = (3 if kind == "fsdp" else 2) * weights * ring
        traffic = sent / speed
        held = held / count if kind == "fsdp" else held
    compute = operations / (device.flops * device.used)
    return Step(sent, compute, traffic, held, operations / sent)


def shards_of(config: ViTConfig, device: Device) -> int:
    """The most devices of a machine that the heads of a model can be divided among."""
    machine, heads = device.machine, config.num_heads
    return max(n for n in range(1, machine + 1) if machine % n == heads % n == 0)


def _held_share(config: ViTConfig, shards: int) -> float:
    """Of the numbers of a model, the share that each of its devices holds."""
    import math

    from keras_vit.config.variables import shapes

    found = shapes(config)
    held = sum(
        math.prod(shape) / (1 if model_axis(path, shape, shards) is None else shards)
        for path, shape in found.items()
    )
    return held / sum(map(math.prod, found.values()))


def rows(device: Device, images: int):
    """(size, kind, devices, step) of each cell of the table."""
    for name in SIZES:
        config = ViTConfig.of(name, num_classes=1000)
        for kind in ("data", "fsdp", "model"):
            for count in DEVICES:
                yield name, kind, count, step(config, kind, count, images, device)


def table(device: Device, images: int) -> str:
    """The rows as Markdown."""
    lines = [
        "| model | distribution | devices | sent GB | ops/byte | step ms | computing | held GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, kind, count, found in rows(device, images):
        if count not in (8, 128, 4096):
            continue
        least, most = (1e3 * found.compute / share for share in reversed(found.efficiency))
        low, high = (f"{100 * share:.0f}" for share in found.efficiency)
        lines.append(
            f"| {name} | {kind} | {count:,} | {found.sent / 1e9:.2f} | {found.intensity:,.0f} | "
            f"{least:.0f}-{most:.0f} | {low}-{high} % | {found.held / 1e9:.2f} |"
        )
    return "\n".join(lines)


def draw(path: Path, device: Device, images: int) -> None:
    """Draws over the devices the share of a step that computes: between both bounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2))
    axes = figure.subplots(1, 3, sharey=True)
    found = list(rows(device, images))
    for axis, kind in zip(axes, ("data", "fsdp", "model"), strict=True):
        for name in SIZES:
            line = [row for row in found if row[:2] == (name, kind)]
            low, high = zip(*(row[3].efficiency for row in line), strict=True)
            axis.plot(DEVICES, low, label=name)
            axis.fill_between(DEVICES, low, high, alpha=0.08)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("devices")
        axis.set_title(kind)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of a step that computes")
    axes[0].set_ylim(0, 1.05)
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


# Models of digits of 8 x 8 pixels: the recipe's, whose step is a matter of milliseconds, and one
# whose step takes as long as that of a model which is worth a second machine.
MEASURED = {
    "digits, 0.14 million parameters": {"epochs": 6},
    "patches of a pixel, 2.7 million": {
        "epochs": 3,
        "batch_size": 256,
        "model.patch_size": 1,
        "model.width": 192,
        "model.mlp_dim": 768,
        "model.num_heads": 3,
        "model.depth": 6,
    },
}


def measure() -> None:
    """Prints images/s of one process, and of two that train together, each on its own core."""
    for name, settings in MEASURED.items():
        one, two = (max(_speeds(count, settings)) for count in (1, 2))
        print(f"{name}: {one:,.0f} images/s, two processes {two:,.0f}, gain {two / one:.2f}")


def _speeds(count: int, settings: dict) -> list[float]:
    import csv
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        flags = ["train", "--recipe", "digits", "--workdir", run, "--set", "distribution=data"]
        for field, value in {**settings, "precision": "float32"}.items():
            flags += ["--set", f"{field}={value}"]
        started = []
        for i in range(count):
            environment = {**os.environ, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1"}
            if count > 1:
                environment["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = "127.0.0.1:34567"
                environment["KERAS_DISTRIBUTION_NUM_PROCESSES"] = str(count)
                environment["KERAS_DISTRIBUTION_PROCESS_ID"] = str(i)
            command = ["taskset", "-c", str(i), sys.executable, "-m", "keras_vit.apps", *flags]
            started.append(subprocess.Popen(command, env=environment))
        for process in started:
            if process.wait():
                sys.exit("a process failed")
        with Path(run, "history.csv").open() as file:
            return [float(row["images_per_second"]) for row in csv.DictReader(file)]


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--images", type=int, default=128, help="on each device")
    flags.add_argument("--figure", type=Path)
    flags.add_argument("--measure", action="store_true")
    flags = flags.parse_args()
    if flags.measure:
        measure()
        return
    print(table(Device(), flags.images))
    if flags.figure:
        draw(flags.figure, Device(), flags.images)


if __name__ == "__main__":
    main()
