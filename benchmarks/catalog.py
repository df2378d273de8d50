#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Compares keras_vit/weights/catalog.toml with timm: what each of its repositories holds.

    pip install -e '.[parity]'
    python benchmarks/catalog.py
    python benchmarks/catalog.py --only clip     # names that contain a text
    python benchmarks/catalog.py --macs benchmark-infer-amp-nchw-pt291-cu128-4090.csv

timm knows of each repository the size of the images, their statistics, the classes and the licence,
and makes its model without numbers, whose tensors are counted. A file with their names and shapes,
and a config.json as those repositories have it, is then inspected here: it has to be what the
catalog says. Nothing is downloaded. With a table of timm's repository (`results/`), operations of a
forward pass are compared as well: it counts a multiply-add once and leaves some of the least out,
so that half a per cent may differ. The exit code is 1 where something differs.
"""

import argparse
import csv
import dataclasses
import json
import math
import sys
import tempfile
from pathlib import Path

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.catalog import Entry, catalog
from keras_vit.weights.inspection import inspect

_HUB = "hf:timm/"
_NEAR = 0.005  # of the operations
Macs = dict[tuple[str, int], float]  # 10^9 multiply-adds by architecture and pixels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="a text in the names to compare")
    parser.add_argument("--macs", metavar="FILE", help="a table with infer_gmacs of timm")
    flags = parser.parse_args()
    macs = read_macs(flags.macs) if flags.macs else {}
    entries = [e for e in catalog().values() if e.at.startswith(_HUB) and flags.only in e.name]
    wrong = 0
    for entry in entries:
        differences = [*compared(entry), *compared_macs(entry, macs)]
        wrong += bool(differences)
        print(f"{entry.name}: {'; '.join(differences) or 'as in timm'}", flush=True)
    print(f"{len(entries) - wrong} of {len(entries)} are as in timm")
    return 1 if wrong else 0


def read_macs(path: str) -> Macs:
    with Path(path).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["infer_gmacs"]]
    return {(row["model"], int(row["infer_img_size"])): float(row["infer_gmacs"]) for row in rows}


def compared_macs(entry: Entry, macs: Macs):
    """Yields a count of operations that is another than timm's."""
    config = entry.config
    theirs = macs.get((_architecture(entry), config.image_size[0]))
    ours = config.forward_flops() / 2e9
    if theirs is not None and abs(ours / theirs - 1) > _NEAR:
        yield f"multiply-adds: {theirs} 10^9, here {ours:.2f}"


def _architecture(entry: Entry) -> str:
    return entry.options.get("architecture", entry.at.removeprefix(_HUB).partition(".")[0])


def compared(entry: Entry):
    """Yields what timm says otherwise than the catalog."""
    import timm
    import torch
    from timm.models import get_pretrained_cfg

    tag = entry.at.removeprefix(_HUB)
    name, _, variant = tag.partition(".")
    cfg = get_pretrained_cfg(f"{_architecture(entry)}.{variant}")
    config = entry.config
    told = {
        "image_size": (cfg.input_size[1:], config.image_size),
        "num_classes": (cfg.num_classes, config.num_classes),
        "pixel_mean": (_one(cfg.mean), config.pixel_mean),
        "pixel_std": (_one(cfg.std), config.pixel_std),
        # OpenAI's own repository says MIT of what timm calls Apache-2.0.
        "licence": (cfg.license, "apache-2.0" if "OpenAI" in entry.family else entry.licence.name),
    }
    with torch.device("meta"):
        model = timm.create_model(cfg.architecture, num_classes=cfg.num_classes)
    told["parameters"] = sum(p.numel() for p in model.parameters()), entry.parameters
    for what, (theirs, ours) in told.items():
        if str(theirs).lower() != str(ours).lower():
            yield f"{what}: {theirs}, here {ours}"
    with tempfile.TemporaryDirectory() as folder:
        write_like_hub(Path(folder), name, cfg, model.state_dict())
        try:
            found = inspect(folder, **entry.options)
        except UserError as error:
            yield f"is refused: {error}"
            return
        yield from _different(found.config, config, found.remarks)


def _one(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return numbers[:1] if len(set(numbers)) == 1 else tuple(numbers)


def write_like_hub(folder: Path, architecture: str, cfg, tensors) -> None:
    """Writes the config.json of a repository, and the header of its tensors before a hole."""
    header, offset = {}, 0
    for name, tensor in sorted(tensors.items()):
        end = offset + 4 * math.prod(tensor.shape)
        shape = list(tensor.shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + offset)
    told = {
        "architecture": architecture,
        "num_classes": cfg.num_classes,
        "pretrained_cfg": {
            "input_size": list(cfg.input_size),
            "mean": list(cfg.mean),
            "std": list(cfg.std),
            "num_classes": cfg.num_classes,
        },
    }
    (folder / "config.json").write_text(json.dumps(told))


def _different(found: ViTConfig | None, stated: ViTConfig, remarks):
    """Yields the fields of a configuration that are not as the catalog has them."""
    if found is None:
        yield f"is refused: {remarks[0]}"
        return
    for field in dataclasses.fields(stated):
        theirs, ours = getattr(found, field.name), getattr(stated, field.name)
        if field.name == "layer_scale":  # its first value, which no file tells
            theirs, ours = theirs is None, ours is None
        if theirs != ours:
            yield f"{field.name}: read as {theirs}, here {ours}"


if __name__ == "__main__":
    sys.exit(main())
