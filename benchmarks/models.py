# SPDX-License-Identifier: MIT
"""The tables of docs/which-model.md: what publishers say of checkpoints, and what their sizes cost.

    python benchmarks/models.py                            the page anew, with the times it has
    taskset -c 1 python benchmarks/models.py --most 40     the same, sizes up to 40 GFLOPs timed

CPU ms: median CPU time of one image on one thread, LiteRT float32, of a model of that size with
random weights (`keras-vit benchmark SIZE --image_size N --runtime litert`), which is as fast as the
published ones. A size that was not timed has a dash.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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
# Options that make another model than that of the size.
_OTHER = {"gated_mlp", "rotary", "relative_position_bias", "pool", "norm"}


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


def size_of(entry: Entry) -> tuple[str, int]:
    """What is timed: a size, and pixels of a side; "" for what is no plain model of a size."""
    plain = not _OTHER & set(entry.fields)
    return entry.fields.get("model", "") if plain else "", entry.config.image_size[0]


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of each row of the tables, by the name of the weights."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    return {row[0].strip("`"): row for row in rows if len(row) == 8 and row[0].startswith("`")}


def times_of(page: str) -> dict[tuple[str, int], str]:
    """CPU ms by size, as the page has them."""
    cells = {name: row[5] for name, row in rows_of(page).items() if name in catalog()}
    times = {size_of(catalog()[name]): time for name, time in cells.items() if time != "-"}
    return {size: time for size, time in times.items() if size[0]}


def table(marker: str, times: Mapping[tuple[str, int], str]) -> str:
    """One of the tables, with its marker and its end."""
    lines = [marker, "", HEADER]
    for entry in shown(marker):
        *before, licence, source = facts(entry)
        cells = [*before, times.get(size_of(entry), "-"), licence, source]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", END])


def written(page: str, times: Mapping[tuple[str, int], str]) -> str:
    """The page with its tables written anew."""
    for marker in (BACKBONES, CLASSIFIERS):
        text = table(marker, times)
        page = re.sub(f"{marker}.*?{END}", lambda _, text=text: text, page, flags=re.DOTALL)
    return page


def cpu_ms(size: tuple[str, int]) -> str:
    model, pixels = size
    command = [sys.executable, "-m", "keras_vit.apps", "benchmark", model]
    command += ["--image_size", str(pixels), "--runtime", "litert", "--threads", "1"]
    command += ["--seconds", "3", "--format", "json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return f"{json.loads(done.stdout)[0]['cpu_ms']:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=float, default=0, help="GFLOPs that are timed")
    flags = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    times = times_of(page)
    for entry in catalog().values():
        size = size_of(entry)
        if size[0] and entry.config.forward_flops() / 1e9 <= flags.most:
            times[size] = cpu_ms(size)
    write_text(PAGE, written(page, times))


if __name__ == "__main__":
    main()
