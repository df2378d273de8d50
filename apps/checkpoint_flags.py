# SPDX-License-Identifier: MIT
"""Flags that tell what a checkpoint does not: shared by the commands that read one."""

import argparse
from typing import Any


def add_checkpoint_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags; `told` reads them."""
    parser.add_argument("--architecture", help="what timm calls it, where no config.json does")
    parser.add_argument("--num_heads", type=int, help="heads, where nothing in the file tells")
    parser.add_argument("--gelu", choices=("exact", "tanh"), help="where the file does not tell")
    parser.add_argument("--norm_epsilon", type=float, help="where the file does not tell")
    parser.add_argument(
        "--skip", action="append", default=[], metavar="PATTERN", help="names to leave out"
    )


def told(args: argparse.Namespace) -> dict[str, Any]:
    """The flags as arguments of `keras_vit.weights.load_model`."""
    names = ("architecture", "num_heads", "gelu", "norm_epsilon", "skip")
    return {name: getattr(args, name) for name in names}
