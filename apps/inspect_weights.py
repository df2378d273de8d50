# SPDX-License-Identifier: MIT
"""Tell what a checkpoint is: dialect, configuration, tensors, what is unusual.

examples:
  keras-vit inspect B_16.npz
  keras-vit inspect model.safetensors --num_heads 12
  keras-vit inspect vit-base-patch16-224/ --json

Reads headers only: a file of any size answers in a second, without Keras (.keras files need it).
"""

import argparse
import dataclasses
import json
import sys

from keras_vit.apps.checkpoint_flags import add_checkpoint_flags, told
from keras_vit.apps.cli import import_keras, run_script

from keras_vit.config import ViTConfig
from keras_vit.untrusted.text import visible
from keras_vit.weights.inspection import Inspection, inspect
from keras_vit.weights.registry import needs_keras


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", help=".npz, .safetensors, .bin, .pth, .keras, or a folder with one; a run"
    )
    add_checkpoint_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    if needs_keras(args.path):
        import_keras()
    found = inspect(args.path, **told(args))
    sys.stdout.write(json.dumps(found.to_dict(), indent=2) + "\n" if args.json else _table(found))
    return 0 if found.config else 1


def _table(found: Inspection) -> str:
    lines = [
        f"path        {found.path}",
        f"dialect     {found.dialect}",
        f"parameters  {found.parameters:,}",
    ]
    lines += [f"made of     {visible(str(origin))}" for origin in found.origins]
    if found.config:
        usual = ViTConfig()
        lines += ["", "configuration (* differs from B/16)"]
        for field in dataclasses.fields(found.config):
            value = getattr(found.config, field.name)
            star = "*" if value != getattr(usual, field.name) else " "
            lines.append(f"  {star} {field.name:<30}{value}")
    lines += ["", "tensors"]
    width = max(len(group.name) for group in found.groups)
    for group in found.groups:
        lines.append(
            f"  {group.name:<{width}}  x{group.count:<3} {group.parameters:>12,}  {group.dtype} "
            f"{group.shape}"
        )
    lines += ["", "unusual"]
    lines += [f"  {remark}" for remark in found.remarks] or ["  nothing"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script("inspect")
