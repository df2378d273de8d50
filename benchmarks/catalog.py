#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Compares keras_vit/weights/catalog.toml with timm: what each of its repositories holds.

    pip install -e '.[parity]'
    python benchmarks/catalog.py
    python benchmarks/catalog.py --only clip     # names that contain a text

timm knows of each repository the size of the images, their statistics, the classes and the licence,
and makes its model without numbers, whose tensors are counted. A file with their names and shapes,
and a config.json as those repositories have it, is then inspected here: it has to be what the
catalog says. Nothing is downloaded. The exit code is 1 where something differs.
"""

import argparse
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="a text in the names to compare")
    flags = parser.parse_args()
    entries = [e for e in catalog().values() if e.at.startswith(_HUB) and flags.only in e.name]
    wrong = 0
    for entry in entries:
        differences = list(compared(entry))
        wrong += bool(differences)
        print(f"{entry.name}: {'; '.join(differences) or 'as in timm'}", flush=True)
    print(f"{len(entries) - wrong} of {len(entries)} are as in timm")
    return 1 if wrong else 0


def compared(entry: Entry):
    """Yields what timm says otherwise than the catalog."""
    import timm
    import torch
    from timm.models import get_pretrained_cfg

    tag = entry.at.removeprefix(_HUB)
    name, _, variant = tag.partition(".")
    cfg = get_pretrained_cfg(f"{entry.options.get('architecture', name)}.{variant}")
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
