# SPDX-License-Identifier: MIT
"""The tables of docs/which-model.md: what publishers say of checkpoints, and what their sizes cost.

    python benchmarks/models.py                           the page anew, with the times it has
    taskset -c 1 python benchmarks/models.py --most 40    and the times that lack, up to 40 GFLOPs
    taskset -c 1 python benchmarks/models.py --most 40 --again      all times up to there anew

CPU ms: median CPU time of one image on one thread, LiteRT float32 (`keras_vit.deploy.time_files`),
of the very model with random weights, which is as fast as the published ones, and without its head.
What was not timed has a dash: models of 2 GB and more, whose conversion needs much memory.
"""

import argparse
import dataclasses
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from keras_vit import ViTConfig
from keras_vit.files import write_text
from keras_vit.weights.catalog import Entry, catalog

PAGE = Path(__file__).parents[1] / "docs" / "which-model.md"
HEADER = (
    "| weights | pixels | parameters | GFLOPs | top-1, % | CPU ms | license | published in |\n"
    "|---|---|---|---|---|---|---|---|"
)
BACKBONES, CLASSIFIERS = "<!-- backbones -->", "<!-- classifiers -->"
END = "<!-- end -->"
_IMAGENET = 1000
_MOST_BYTES = 2**31


def facts(entry: Entry) -> list[str]:
    """The columns that are known without running anything, but for CPU ms."""
    config = entry.config
    what = "" if entry.measures == "classes" else f" {entry.measures}"
    return [
        f"`{entry.name}`",
        str(config.image_size[0]),
        f"{entry.parameters / 1e6:.1f} M",
        f"{config.forward_flops() / 1e9:,.1f}",
        "-" if entry.accuracy is None else f"{entry.accuracy}{what}",
        f"[{entry.licence.name}]({entry.licence.terms})" + (", gated" if entry.gated else ""),
        entry.source.removeprefix("github.com/").partition("/")[2],
    ]


def shown(marker: str) -> list[Entry]:
    """The checkpoints of a table, the cheapest first."""
    wanted = marker == CLASSIFIERS
    found = [e for e in catalog().values() if (e.config.num_classes == _IMAGENET) == wanted]
    return sorted(found, key=lambda entry: entry.config.forward_flops())


def timed(entry: Entry) -> ViTConfig:
    """What decides the time of a checkpoint: its model, without the head and what takes no time."""
    usual = {"pixel_mean": 0.5, "pixel_std": 0.5, "norm_epsilon": 1e-6}
    return dataclasses.replace(entry.config, num_classes=0, representation_size=0, **usual)


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of each row of the tables, by the name of the weights."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    return {row[0].strip("`"): row for row in rows if len(row) == 8 and row[0].startswith("`")}


def times_of(page: str) -> dict[ViTConfig, str]:
    """CPU ms by model, as the page has them."""
    cells = {name: row[5] for name, row in rows_of(page).items() if name in catalog()}
    return {timed(catalog()[name]): time for name, time in cells.items() if time != "-"}


def table(marker: str, times: Mapping[ViTConfig, str]) -> str:
    """One of the tables, with its marker and its end."""
    lines = [marker, "", HEADER]
    for entry in shown(marker):
        *before, licence, source = facts(entry)
        cells = [*before, times.get(timed(entry), "-"), licence, source]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", END])


def written(page: str, times: Mapping[ViTConfig, str]) -> str:
    """The page with its tables written anew."""
    for marker in (BACKBONES, CLASSIFIERS):
        text = table(marker, times)
        page = re.sub(f"{marker}.*?{END}", lambda _, text=text: text, page, flags=re.DOTALL)
    return page


def write(name: str, file: Path) -> None:
    """Writes the LiteRT file of a checkpoint's model, with random weights."""
    from keras_vit import vit
    from keras_vit.export import to_tflite

    to_tflite(vit(timed(catalog()[name])), file)


def cpu_ms(entry: Entry) -> str:
    """The time of a model; the process that measures holds no Keras."""
    from keras_vit.deploy import time_files

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.tflite")
        subprocess.run([sys.executable, __file__, "--write", entry.name, str(file)], check=True)
        config = entry.config
        (result,) = time_files({"": file}, (*config.image_size, config.channels), seconds=3.0)
    return f"{float(f'{result.cpu_ms:.3g}'):g}"  # three digits, and never 1.02e+03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=float, default=0, help="GFLOPs that are timed")
    parser.add_argument("--again", action="store_true", help="time also what has a time")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    flags = parser.parse_args()
    if flags.write:
        write(flags.write[0], Path(flags.write[1]))
        return
    page = PAGE.read_text(encoding="utf-8")
    times = times_of(page)
    done = set() if flags.again else set(times)
    for entry in sorted(catalog().values(), key=lambda entry: entry.config.forward_flops()):
        model = timed(entry)
        wanted = model not in done and entry.config.forward_flops() / 1e9 <= flags.most
        if wanted and 4 * model.num_parameters < _MOST_BYTES:
            times[model] = cpu_ms(entry)
            done.add(model)
            print(entry.name, times[model], flush=True)
            write_text(PAGE, written(page, times))
    write_text(PAGE, written(page, times))


if __name__ == "__main__":
    main()
