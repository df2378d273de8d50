# SPDX-License-Identifier: MIT
"""The table of docs/which-model.md: what publishers say of checkpoints, and what their sizes cost.

    taskset -c 1 python benchmarks/models.py               all; one of 1,000 GFLOPs takes minutes
    taskset -c 1 python benchmarks/models.py --most 40     times sizes of at most 40 GFLOPs

CPU ms: median CPU time of one image on one thread, LiteRT float32, of a model of that size with
random weights (`keras-vit benchmark SIZE --image_size N --runtime litert`), which is as fast as the
published ones. A size that was not timed has a dash.
"""

import argparse
import json
import subprocess
import sys

from keras_vit.config import ViTConfig
from keras_vit.weights.catalog import CATALOG, Entry

HEADER = (
    "| weights | image | parameters | GFLOPs | top-1, % | CPU ms | license | published in |\n"
    "|---|---|---|---|---|---|---|---|"
)


def config_of(entry: Entry) -> ViTConfig:
    return ViTConfig.of(entry.model, image_size=entry.image_size, num_classes=entry.num_classes)


def facts(name: str, entry: Entry) -> list[str]:
    """The columns that are known without running anything, but for CPU ms."""
    config = config_of(entry)
    top1 = f"{entry.accuracy}" if entry.num_classes else f"{entry.accuracy} linear"
    return [
        f"`{name}`",
        str(entry.image_size),
        f"{config.num_parameters / 1e6:.1f} M",
        f"{config.forward_flops() / 1e9:,.1f}",
        top1,
        entry.licence,
        entry.source.removeprefix("github.com/").partition("/")[2],
    ]


def worth_showing() -> dict[str, Entry]:
    """Those of which a publisher states an accuracy, the cheapest first."""
    shown = {name: entry for name, entry in CATALOG.items() if entry.accuracy is not None}
    return dict(sorted(shown.items(), key=lambda item: config_of(item[1]).forward_flops()))


def cpu_ms(entry: Entry) -> str:
    command = [sys.executable, "-m", "keras_vit.apps", "benchmark", entry.model]
    command += ["--image_size", str(entry.image_size), "--runtime", "litert", "--threads", "1"]
    command += ["--seconds", "3", "--format", "json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return f"{json.loads(done.stdout)[0]['cpu_ms']:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=float, default=float("inf"), help="GFLOPs that are timed")
    flags = parser.parse_args()
    times: dict[tuple[str, int], str] = {}
    print(HEADER)
    for name, entry in worth_showing().items():
        size = entry.model, entry.image_size
        if size not in times:
            timed = config_of(entry).forward_flops() / 1e9 <= flags.most
            times[size] = cpu_ms(entry) if timed else "-"
        *before, licence, source = facts(name, entry)
        print("|", " | ".join([*before, times[size], licence, source]), "|", flush=True)


if __name__ == "__main__":
    main()
